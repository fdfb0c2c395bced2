"""Teachers behind one small interface: whoever can swap a face can be distilled from, by one line of an experiment.

| name                   | teacher                                   | reads of the source        | also needs    |
|------------------------|-------------------------------------------|----------------------------|---------------|
| ``oracle``             | exact truth of the face world             | nothing                    | `truth`       |
| ``warp``               | landmark warp of photographs              | picture (and its mesh)     | the mesh model |
| ``simswap-224``        | SimSwap's own weights, if the user has them | picture                  | both files    |
| ``faceshifter_64``     | FaceShifter trained here, in the package  | picture, or SFace's embedding | SFace      |
| ``FILE.safetensors``   | SimSwap or FaceShifter trained by ``mfs_lib.training.gan`` | picture, or SFace's embedding | SFace |

    teacher = load_teacher(parse_teacher(values["teacher"]))  # of an experiment with the line "teacher: oracle"
    swapped = teacher.swap(source_face, target, truth=truth)
"""

from mfs_lib.training.teachers.interface import Teacher
from mfs_lib.training.teachers.loading import TeacherConfig, load_teacher, parse_teacher

__all__ = ["Teacher", "TeacherConfig", "load_teacher", "parse_teacher"]
