"""The canonical face mesh from MediaPipe's geometry record: positions, texture coordinates, triangles.

The record is a protocol buffer: field 1 is the mesh, whose field 3 holds 468 x (x, y, z, u, v) and field 4 the corner
indices of 898 triangles. The two messages are declared here, so that no generated code is needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from torch import Tensor

from mfs_lib.errors import AssetError
from mfs_lib.networks.face_mesh import POINTS

_TRIANGLES = 898


def convert_face_geometry(path: Path) -> dict[str, Tensor]:
    """Buffers `canonical` (468, 3) centimetres, `uv` (468, 2) in [0, 1], `triangles` (898, 3) of ``FaceMesh``.

    Raises:
        AssetError: another kind of file.
    """
    record: Any = message_factory.GetMessageClass(_pool().FindMessageTypeByName("mfs.Geometry"))()
    try:
        record.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise AssetError(f"{path} is not the face geometry that was expected ({error}).") from error
    vertices, corners = torch.tensor(list(record.mesh.vertices)), torch.tensor(list(record.mesh.corners))
    if vertices.numel() != POINTS * 5 or corners.numel() != _TRIANGLES * 3 or int(corners.max()) >= POINTS:
        raise AssetError(f"{path} is not a mesh of {POINTS} points and {_TRIANGLES} triangles.")
    table = vertices.reshape(POINTS, 5).float()
    return {"canonical": table[:, :3], "uv": table[:, 3:], "triangles": corners.reshape(-1, 3).long()}


def _pool() -> descriptor_pool.DescriptorPool:
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="mfs_geometry.proto", package="mfs", syntax="proto2")
    mesh = file.message_type.add(name="Mesh")
    mesh.field.add(name="vertices", number=3, type=field.TYPE_FLOAT, label=field.LABEL_REPEATED)
    mesh.field.add(name="corners", number=4, type=field.TYPE_UINT32, label=field.LABEL_REPEATED)
    geometry = file.message_type.add(name="Geometry")
    geometry.field.add(
        name="mesh", number=1, type=field.TYPE_MESSAGE, label=field.LABEL_OPTIONAL, type_name=".mfs.Mesh"
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool
