"""The evaluation suite's metrics, a family a file; each returns `results.Metric` objects with backend and protocol.

| file         | names                                                             | unit                         |
|--------------|-------------------------------------------------------------------|------------------------------|
| identity     | cos_source, cos_target, cos_before, nearer_than_target, …         | cosine, percent              |
| retrieval    | retrieval                                                         | percent                      |
| pose         | pose_yaw, pose_pitch, pose_roll, pose_error, pose_l2; hopenet_…   | degree                       |
| expression   | expression_mouth_open, …_mouth_width, …_eye_open, expression_mesh | percent of the eyes' corners |
| distribution | fd_mnv2, kid_mnv2, kid_mnv2_std; fid, kid, kid_std                | none                         |
| background   | background                                                        | grey levels of 255           |
| truth        | error, psnr, ssim, lp_mnv2, error_of_target, error_ratio          | grey levels, dB, none        |
| collapse     | unchanged                                                         | percent                      |

Pictures are crops (N, 3, S, S) in [0, 1] on the template of ``faces.alignment``; row i of every stack belongs to pair i.
"""
