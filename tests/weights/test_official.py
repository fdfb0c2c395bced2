"""MobileFaceSwap's release through fetch, conversion and cache; and files that the user has by other ways."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from mfs_lib.cli.weights import KINDS
from mfs_lib.errors import AssetError, InputError, OutputError
from mfs_lib.networks.identity import IdentityNetwork
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, MobileFaceSwapConfig
from mfs_lib.weights import official
from mfs_lib.weights.manifest import known_entries
from mfs_lib.weights.official import CONVERTERS, convert_file, converter, load_mobilefaceswap
from mfs_lib.weights.registry import cache_folder, fetch, file_sha256
from mfs_lib.weights.safe_io import load_weights

BACK = {
    "iin.encoder_modulation": "EncoderModulation",
    "iin.decoder_modulation": "DecoderModulation",
    "iin.predictor": "predictor",
    "idn.final": "final",
    "fusion.layers": "mask",
}


def _their_name(name: str) -> str:
    """From our names back to the release's."""
    for ours, theirs in BACK.items():
        name = name.replace(ours, theirs)
    return name.replace(".head.", ".weight.").replace("running_mean", "_mean").replace("running_var", "_variance")


def _write_release(folder: Path) -> None:
    """Both files of the bundle, each array filled with a number of its own; half precision to be quick."""
    folder.mkdir()
    with torch.device("meta"):
        networks = {"MobileFaceSwap_224": MobileFaceSwap(MobileFaceSwapConfig()), "arcface": IdentityNetwork()}
    for file, network in networks.items():
        arrays = {}
        for number, (name, tensor) in enumerate(network.state_dict().items()):
            if not name.endswith("num_batches_tracked"):
                shape = tuple(tensor.shape)[::-1] if tensor.ndim == 2 else tuple(tensor.shape)
                theirs = _their_name(name)
                if file == "arcface" and name.endswith(("prelu.weight", "fc.1.weight")):
                    theirs = name.removesuffix("weight") + "_weight"
                arrays[theirs] = np.full(shape, 1 + number / 1024, np.float16)
        with (folder / f"{file}.pdparams").open("wb") as out:
            pickle.dump(arrays | {"StructuredToParameterName@@": {}}, out, protocol=4)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the two files, as a user who has unpacked the bundle would have it."""
    folder = tmp_path_factory.mktemp("bundle") / "mirror"
    _write_release(folder)
    return folder


def test_the_release_is_loaded_once_converted_and_frozen(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MFS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MFS_MIRROR", str(release))
    monkeypatch.setenv("MFS_OFFLINE", "1")
    with pytest.raises(AssetError, match="mfs fetch mobilefaceswap-224 --agree"):
        load_mobilefaceswap()
    for name in ("mobilefaceswap-224", "mobilefaceswap-arcface"):
        fetch(name, agree=True)
    swapper, identity = load_mobilefaceswap()
    assert isinstance(swapper, MobileFaceSwap) and isinstance(identity, IdentityNetwork)
    for network, count in ((swapper, 185), (identity, 796)):
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())
        state = network.state_dict()
        assert len(state) == count
        for number, (name, tensor) in enumerate(state.items()):
            if not name.endswith("num_batches_tracked"):
                assert tensor.dtype == torch.float32
                assert tensor.flatten()[-1] == np.float16(1 + number / 1024), name
    converted = sorted((cache_folder() / "converted").iterdir())
    assert [path.name.rsplit("-", 2)[0] for path in converted] == ["mobilefaceswap-224", "mobilefaceswap-arcface"]
    digest = file_sha256(release / "MobileFaceSwap_224.pdparams")
    assert load_weights(converted[0])[1]["source_sha256"] == digest
    assert digest[:12] in converted[0].name

    def never(path: Path) -> dict[str, torch.Tensor]:
        raise AssertionError(f"{path} was converted again")

    monkeypatch.setattr(official, "convert_mobilefaceswap", never)
    monkeypatch.setattr(official, "convert_arcface_paddle", never)
    monkeypatch.delenv("MFS_MIRROR")
    again, _ = load_mobilefaceswap(offline=True)
    assert torch.equal(again.idn.final[7].weight, swapper.idn.final[7].weight)


def test_without_the_files_the_error_says_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MFS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MFS_MIRROR", str(tmp_path))
    with pytest.raises(AssetError, match="--agree"):
        load_mobilefaceswap(offline=True)
    with pytest.raises(AssetError, match="fetching is switched off"):
        fetch("mobilefaceswap-224", agree=True, offline=True)
    with pytest.raises(AssetError) as error:
        load_mobilefaceswap(offline=True)
    for said in (
        "mfs fetch mobilefaceswap-224 mobilefaceswap-arcface --agree",
        "MFS_MIRROR",
        "MobileFaceSwap_224.pdparams",
        "https://drive.google.com/file/d/1ZIzGLDB15GRAZAbkfNR0hNWdgQpxeA_r/view",
    ):
        assert said in str(error.value)


def test_a_wrong_file_in_the_mirror_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MFS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MFS_MIRROR", str(tmp_path))
    (tmp_path / "MobileFaceSwap_224.pdparams").write_bytes(pickle.dumps({"a": np.zeros(1)}))
    fetch("mobilefaceswap-224", agree=True, offline=True)
    with pytest.raises(AssetError, match="is not MobileFaceSwap's checkpoint"):
        load_mobilefaceswap(offline=True)


def test_a_file_of_the_user_s_own_is_converted(release: Path, tmp_path: Path) -> None:
    source = release / "MobileFaceSwap_224.pdparams"
    output = tmp_path / "new" / "mfs.safetensors"
    assert convert_file("mobilefaceswap", source, output) == output
    state, metadata = load_weights(output)
    assert metadata == {"kind": "mobilefaceswap", "source": source.name, "source_sha256": file_sha256(source)}
    MobileFaceSwap(MobileFaceSwapConfig()).load_state_dict(state)


def test_every_kind_is_there_and_refuses_what_is_not_its_own(tmp_path: Path) -> None:
    assert set(KINDS) == set(CONVERTERS)
    junk = tmp_path / "junk"
    junk.write_bytes(b"junk")
    for kind in CONVERTERS:
        assert callable(converter(kind))
        with pytest.raises(AssetError):
            convert_file(kind, junk, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()
    assert {one.converter for one in known_entries().values()} <= {"", *CONVERTERS}


def test_wrong_arguments_are_typed_errors(tmp_path: Path) -> None:
    source = tmp_path / "a.safetensors"
    source.write_bytes(b"x")
    with pytest.raises(InputError, match="Known: arcface-paddle"):
        convert_file("onnx", source, tmp_path / "b.safetensors")
    with pytest.raises(OutputError, match="must end in"):
        convert_file("bisenet", source, tmp_path / "b.pth")
    with pytest.raises(AssetError, match="is no file"):
        convert_file("bisenet", tmp_path / "missing", tmp_path / "b.safetensors")
    with pytest.raises(InputError, match="the foreign file itself"):
        convert_file("bisenet", source, source)
