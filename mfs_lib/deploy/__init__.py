"""From a trained network to files that other runtimes execute, and how fast they do.

    identity --- specialise ---> one person's weights --- frame (exact rewrites) ---> onnx, other formats ---> runtimes

A rewrite never changes the function beyond rounding; what does (fewer bits, a cheaper mask) is a *variant*, is named, and
its loss is measured.
"""
