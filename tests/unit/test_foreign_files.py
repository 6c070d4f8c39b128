"""Files that others made: a bad one is named and costs itself only; nothing in it runs, hangs or ends the process."""

import contextlib
import io
import json
import os
import pickle
import random
import signal
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import lmdb
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction.weight_files import LOADERS
from workflow_scripts.lib.foreign.boundary import UnreadableFile, check_claim, free_memory
from workflow_scripts.lib.foreign.model_folders import check_folder
from workflow_scripts.lib.foreign.pickles import as_array, unpickle
from workflow_scripts.lib.foreign.torch_files import read_safetensors, read_torch
from workflow_scripts.lib.store.feature_files import open_here, open_source
from workflow_scripts.lib.training.published_checkpoints import read_published

HOSTILE = Path(__file__).parents[1] / "hostile"
LAYOUTS = {".npy": "npy", ".npz": "npz", ".pt": "pt", ".h5": "hdf5", ".pkl": "pickle_dict"}
VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)


def rows_in(path: Path, name: str = "v1") -> np.ndarray:
    """Return the rows of a file, of the entry `name` where a file is for all videos."""
    layout = LAYOUTS[path.suffix]
    if layout == "pickle_dict":
        return open_source(path, layout, None).read(name)
    return open_source(path.parent, layout, None).read(path.name)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("crash_dict.pkl", "crash_dict.pkl: .* refused to load an array of 'O8'"),
        ("dangling.h5", "dangling.h5: .*not found"),
        ("deflate60.npz", "deflate60.npz: .*decompressing"),
        ("empty0.npy", "empty0.npy: empty, of shape"),
        ("external_storage.h5", "external_storage.h5: takes its content from other files"),
        ("hstr.h5", "hstr.h5: expected numbers, found dtype object"),
        ("hugehdr.npy", r"hugehdr.npy: claims \(100000000000, 300\) numbers"),
        ("laugh.pkl", "v1: expected an array, found a list of different things"),
        ("meta.pt", "meta.pt: a tensor on the device `meta`"),
    ],
)
def test_a_hostile_feature_file_is_named_with_what_is_wrong(name, found):
    with pytest.raises(UserError, match=found):
        rows_in(HOSTILE / "features" / name)


def test_a_tensor_that_was_trained_has_its_values(tmp_path):
    assert rows_in(HOSTILE / "features" / "grad.pt").shape == (1, 3)


@pytest.mark.parametrize("loader", ["torch checkpoint", "torch state dict", "torch checkpoint, key `model`"])
@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("trunc.pt", "cut off"),
        ("git-lfs.pt", "git lfs pull"),
        ("html.pt", "a web page instead of the file"),
        ("list.pt", "expected a state dict, found list"),
        ("bitflip.pt", "differs from its checksum"),
    ],
)
def test_hostile_weights_are_named_with_what_they_are(name, found, loader):
    path = HOSTILE / "checkpoints" / name
    for read in (LOADERS[loader], read_published):
        with pytest.raises(UserError, match=f"{name}: .*({found})") as raised:
            read(path)
        assert "weights_only" not in str(raised.value)


def test_files_of_word_vectors_are_looked_into_before_their_words_are_known(tmp_path):
    path, read = tmp_path / "glove.txt", LOADERS["word vectors"]
    path.write_text("the 0.1 -2e-3\n")
    assert read(path) == path
    with zipfile.ZipFile(tmp_path / "glove.zip", "w") as archive:
        archive.write(path)
    whole = (tmp_path / "glove.zip").read_bytes()
    assert read(tmp_path / "glove.zip")
    for content, found in {
        b"<!DOCTYPE html>\n<html>": "a web page instead of the file",
        b"hello\n": "its first line holds no numbers",
        b"the word comes first\n": "could not convert string to float",
        whole[:40]: "its first line holds no numbers|could not convert|not UTF-8",
        b"\x80\x81": "its text is not UTF-8",
    }.items():
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"glove\.txt: .*{found}"):
            read(path)


def test_a_file_that_is_not_there_or_empty_is_named(tmp_path):
    (tmp_path / "empty.pt").touch()
    for name, found in {"none.pt": "no such file", "empty.pt": "an empty file"}.items():
        with pytest.raises(UserError, match=f"{name}: {found}"):
            read_published(tmp_path / name)


def test_weights_of_other_forms_are_named_too():
    for name in ("crash_caffe2.pkl", "f2py_caffe2.pkl"):
        with pytest.raises(UserError, match=f"{name}: .*refused to load"):
            LOADERS["Caffe2 pickle"](HOSTILE / "checkpoints" / name)
    with pytest.raises(UserError, match=r"bigshape\.safetensors: not a readable checkpoint"):
        LOADERS["safetensors"](HOSTILE / "checkpoints" / "bigshape.safetensors")
    with pytest.raises(UserError, match=r"html\.pt: a web page"):
        LOADERS["TorchScript archive"](HOSTILE / "checkpoints" / "html.pt")
    assert LOADERS["torch checkpoint"](HOSTILE / "checkpoints" / "ok.pt")["a"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_pickles_of_every_protocol_are_read_as_they_were(protocol):
    arrays = {
        "rows": VALUES,
        "columns": np.asfortranarray(VALUES),
        "swapped": VALUES.astype(">f8"),
        "none": np.zeros((0, 3)),
        "number": np.float64(0.5),
        "text": np.array(["a", "bc"]),
        "list": [[1.5, 2], [3, 4]],
        "bytes": b"\xff\x00",
        "atoms": (None, True, 3, 10**30, "ü"),
    }
    found, expected = unpickle(pickle.dumps(arrays, protocol)), pickle.loads(pickle.dumps(arrays, protocol))
    for name in ("rows", "columns", "swapped", "none", "number", "text"):
        assert np.array_equal(found[name], arrays[name])
        assert found[name].dtype == expected[name].dtype
    assert found["columns"].flags.f_contiguous
    assert {name: found[name] for name in ("list", "bytes", "atoms")} == {
        name: arrays[name] for name in ("list", "bytes", "atoms")
    }


def pickled(program: bytes) -> bytes:
    return b"\x80\x04" + program + b"."


DTYPE, ARRAY = b"cnumpy\ndtype\n", b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\n",
        b"cnumpy.f2py.__main__\ndtype\n",
        b"cnumpy\ndtype.type\n",
        b"cnumpy.core.multiarray\nscalar.__class__\n",
        DTYPE + b"X\x01\x00\x00\x00O\x85R",
        DTYPE + b"X\x05\x00\x00\x00f4,f4\x85R",
        DTYPE
        + b"X\x02\x00\x00\x00f4\x85R(K\x03X\x01\x00\x00\x00|"
        + DTYPE
        + b"NNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
        ARRAY + b"(K\x01K\x7f\x85" + DTYPE + b"X\x02\x00\x00\x00f4\x85R\x89C\x04abcdtb",
        ARRAY + b"(K\x01K\x01\x85K\x00\x89]tb",
        DTYPE + b"X\x02\x00\x00\x00f4\x85R(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x01tb",
        b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00utf16tR",
        b"}](K\x01eK\x01s",
        b"\x8f",
        b"ccollections\nOrderedDict\n)\x81",
        b"]]b",
        b"]\x94(h\x00e" * 3 + b"0" * 2 + b"R",
        b"\x96\xff\xff\xff\xff\xff\x00\x00\x00",
        b"\x98",
        b"Pid\n",
    ],
)
def test_whatever_a_pickle_asks_for_only_arrays_are_made(program):
    with pytest.raises((pickle.UnpicklingError, EOFError, IndexError, TypeError, ValueError)):
        unpickle(pickled(program))


def test_small_pickles_cannot_become_large():
    """Nested tuples as keys take for ever to hash, and one text can be asked for again and again."""
    nested = b")" + b"2\x86" * 60
    with pytest.raises(pickle.UnpicklingError, match="as a key"):
        unpickle(pickled(b"}" + nested + b"K\x01s"))
    with pytest.raises(pickle.UnpicklingError, match="an array of tuple"):
        unpickle(pickled(DTYPE + nested + b"\x85R"))
    text = b"X" + (10**6).to_bytes(4, "little") + b"a" * 10**6 + b"q\x00"
    again = b"0c_codecs\nencode\n(h\x00X\x06\x00\x00\x00latin1tR" * 100
    with pytest.raises(pickle.UnpicklingError, match="again and again"):
        unpickle(pickled(text + again))
    row = [1.0] * 1000
    with pytest.raises(ValueError, match="more numbers than its file has bytes"):
        as_array([row] * 1000, 20_000)


def test_claims_are_compared_with_the_file_and_with_free_memory():
    check_claim(10**6, 2000, "a")
    with pytest.raises(UnreadableFile, match=r"a: claims 10,000,000 bytes of content, but has 2,000 bytes for it"):
        check_claim(10**7, 2000, "a")
    with pytest.raises(UnreadableFile, match="bytes of memory are free"):
        check_claim(2 * free_memory(), 2 * free_memory(), "a")


def test_links_and_virtual_arrays_of_hdf5_do_not_leave_their_file(tmp_path):
    with h5py.File(tmp_path / "other.hdf5", "w") as other:
        other["secret"] = VALUES
    inside = tmp_path / "in"
    inside.mkdir()
    with h5py.File(inside / "link.h5", "w") as file:
        file["v"] = h5py.ExternalLink(str(tmp_path / "other.hdf5"), "secret")
    with h5py.File(inside / "soft.h5", "w") as file:
        file.create_group("g")["e"] = h5py.ExternalLink(str(tmp_path / "other.hdf5"), "/")
        file["v"] = h5py.SoftLink("/g/e/secret")
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.hdf5"), "secret", (4, 3))
    with h5py.File(inside / "virtual.h5", "w") as file:
        file.create_virtual_dataset("v", layout)
    with h5py.File(inside / "huge.h5", "w") as file:
        file.create_dataset("v", (10**7, 10**5), "f4", chunks=(1000, 1000))
    source = open_source(inside, "hdf5", "v")
    for name, found in {
        "link.h5": "links to another file",
        "soft.h5": "links to another file",
        "virtual.h5": "takes its content from other files",
        "huge.h5": "claims 4,000,000,000,000 bytes",
    }.items():
        with pytest.raises(UnreadableFile, match=f"{name}: {found}"):
            source.read(name)
    for_all = tmp_path / "all.hdf5"
    with h5py.File(for_all, "w") as file:
        file["v1"] = h5py.ExternalLink(str(tmp_path / "other.hdf5"), "secret")
        file["v2"] = VALUES
    source = open_source(for_all, "hdf5", None)
    assert "unreadable: v1: links to another file" in source.digest("v1")
    assert np.array_equal(source.read("v2"), VALUES)


def npy(
    shape: str, version: tuple[int, int] = (1, 0), dtype: str = "'<f4'", content: bytes = VALUES.tobytes()
) -> bytes:
    header = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return (
        b"\x93NUMPY" + bytes(version) + len(header).to_bytes(2 if version == (1, 0) else 4, "little") + header + content
    )


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (npy("(4, 3)", (9, 0)), "damaged, or of a later version of npy files than 3.0"),
        (npy("(10**3,)"), "has a damaged header"),
        (npy("(True, 3)"), "has a damaged header"),
        (npy("(4,)", dtype="('<f4', (1000000000,))"), "has a damaged header"),
        (npy("(" + "9" * 3000 + ",)"), r"claims \(9{79} numbers of float32"),
        (npy("(-4, 3)"), r"claims \(-4, 3\) numbers"),
        (npy("(4, 3)", content=b""), "Failed to read all data"),
        (b"\xef\xbb\xbf<!DOCTYPE html>", "a web page instead of the file"),
        (b"<Error><Code>AccessDenied</Code></Error>", "an XML page, such as a server's error"),
        (b'{"error": "not found"}', "a server's error instead of the file"),
        (b"/annex/objects/SHA256E-s1--a.npy\n", "a pointer of git-annex instead of the file"),
        (pickle.dumps(VALUES), "no file that numpy.save writes"),
    ],
)
def test_what_lies_in_the_place_of_an_array_is_told(tmp_path, content, found):
    (tmp_path / "v1.npy").write_bytes(content)
    with pytest.raises(UnreadableFile, match=rf"v1\.npy: {found}") as raised:
        rows_in(tmp_path / "v1.npy")
    assert len(str(raised.value)) < 200
    assert " at 0x" not in str(raised.value)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_arrays_of_every_version_of_the_format_are_read(tmp_path, version):
    (tmp_path / "v1.npy").write_bytes(npy("(4, 3)", version))
    assert np.array_equal(rows_in(tmp_path / "v1.npy"), VALUES)


def test_arrays_of_numpy_in_torch_files_are_rows(tmp_path):
    for content in (VALUES, {"rows": VALUES}):
        torch.save(content, tmp_path / "v1.pt")
        assert np.array_equal(rows_in(tmp_path / "v1.pt"), VALUES)


def test_a_part_of_an_archive_that_lost_bits_is_not_called_cut_off_alone(tmp_path):
    np.savez(tmp_path / "v1.npz", a=VALUES)
    content = bytearray((tmp_path / "v1.npz").read_bytes())
    content[content.index(VALUES.tobytes())] ^= 1
    (tmp_path / "v1.npz").write_bytes(content)
    with pytest.raises(UnreadableFile, match=r"v1\.npz: it is damaged or cut off"):
        rows_in(tmp_path / "v1.npz")


def test_npz_files_are_bounded_by_what_they_hold(tmp_path):
    np.savez_compressed(tmp_path / "zeros.npz", a=np.zeros((1000, 100), np.float32))
    assert rows_in(tmp_path / "zeros.npz").shape == (1000, 100)
    file = io.BytesIO()
    np.save(file, VALUES)
    with zipfile.ZipFile(tmp_path / "bz2.npz", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.npy", file.getvalue())
    with pytest.raises(UnreadableFile, match="compressed in a way"):
        rows_in(tmp_path / "bz2.npz")


def test_a_torch_file_may_not_claim_more_than_its_storages(tmp_path):
    """torch itself would read what happens to lie behind them in memory."""
    torch.save(torch.zeros(4), tmp_path / "small.pt")
    with zipfile.ZipFile(tmp_path / "small.pt") as old, zipfile.ZipFile(tmp_path / "large.pt", "w") as new:
        for info in old.infolist():
            content = old.read(info)
            new.writestr(info, content[:4] if info.filename.endswith("data/0") else content)
    with pytest.raises(UnreadableFile, match="claims 16 bytes for a tensor, but has 4 bytes"):
        read_torch(tmp_path / "large.pt")
    torch.save(torch.zeros(1).expand(10**12), tmp_path / "wide.pt")
    with pytest.raises(UnreadableFile, match="of which it has a part only"):
        rows_in(tmp_path / "wide.pt")


@pytest.mark.parametrize("is_new", [True, False])
def test_ordinary_torch_files_of_both_forms_pass_the_checks(tmp_path, is_new):
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2)).to(torch.bfloat16)
    content = {
        "model": network.state_dict(),
        "optimiser": {"state": {0: {"step": torch.tensor(1)}}, "lr": 0.1},
        "parameter": network[0].weight,
        "array": VALUES,
        "number": np.float32(2),
        "kind": torch.float16,
        "size": torch.Size([1, 2]),
    }
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=is_new)
    found = read_torch(tmp_path / "a.pt", mapped=True)
    assert found["model"]["0.weight"].equal(network[0].weight)
    assert np.array_equal(found["array"], VALUES)
    assert (found["kind"], found["size"]) == (torch.float16, torch.Size([1, 2]))


def npy_bytes(header: bytes, version: int = 1) -> bytes:
    """Return an npy file with this header."""
    size = len(header).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + header + VALUES.tobytes()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (npy_bytes(b"(" * 9000 + b")" * 9000), "has a header of 18,000 bytes"),
        (npy_bytes(b"{'descr': '<f4', 'fortran_order': False, 'shape': (4, 3)}" + b" " * 70000, 2), "has a header of"),
        (npy_bytes(b"{'descr': '|O', 'fortran_order': False, 'shape': (4, 3)}\n"), "holds Python objects"),
    ],
)
def test_no_advice_to_load_unsafely_passes_through(tmp_path, content, found):
    (tmp_path / "v1.npy").write_bytes(content)
    with pytest.raises(UnreadableFile, match=found) as raised:
        rows_in(tmp_path / "v1.npy")
    assert "pickle" not in str(raised.value)


def test_what_is_no_array_of_hdf5_or_lmdb_is_told(tmp_path):
    with h5py.File(tmp_path / "kind.h5", "w") as file:
        file["v"] = np.dtype("f4")
    with h5py.File(tmp_path / "none.h5", "w"):
        pass
    source = open_source(tmp_path, "hdf5", None)
    for name, found in {"kind.h5": "expected an array, found a Datatype", "none.h5": "holds no array"}.items():
        with pytest.raises(UnreadableFile, match=f"{name}: {found}$"):
            source.read(name)
    with lmdb.open(str(tmp_path / "a.mdb"), subdir=False, lock=False) as file, file.begin(write=True) as transaction:
        transaction.put(b"v1", VALUES.tobytes())
    with pytest.raises(UnreadableFile, match="v1: not a array as an npy file, an npz file or a pickle"):
        open_here(tmp_path / "a.mdb", "lmdb", None).read("v1")


def rezipped(path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """Return an archive beside another, with parts changed."""
    new = path.with_name(f"new-{path.name}")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(new, "w") as archive:
        for info in old.infolist():
            archive.writestr(info, change(info.filename, old.read(info)))
    return new


def test_a_torchscript_archive_is_looked_through_before_torch_reads_it(tmp_path):
    write_torchscript(tmp_path / "a.pt")
    read = LOADERS["TorchScript archive"]
    assert set(read(tmp_path / "a.pt")) == {"mean", "part.weight", "part.bias"}
    short = rezipped(tmp_path / "a.pt", lambda name, content: content[:4] if "/data/" in name else content)
    with pytest.raises(UnreadableFile, match=r"new-a\.pt: not a readable TorchScript archive: it claims"):
        read(short)
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        # Of the numbers that are random, which are nowhere else in the file.
        largest = max(
            (info for info in archive.infolist() if "/data/" in info.filename), key=lambda info: info.file_size
        )
        numbers = archive.read(largest)
    content = bytearray((tmp_path / "a.pt").read_bytes())
    content[content.index(numbers)] ^= 1
    (tmp_path / "flipped.pt").write_bytes(content)
    with pytest.raises(UnreadableFile, match=r"flipped\.pt: .*differs from its checksum"):
        read(tmp_path / "flipped.pt")


@pytest.fixture
def model_folder(tmp_path):
    """A folder of two parts and their index, as transformers writes it."""
    for part in ("a", "b"):
        save_file({part: torch.ones(3)}, tmp_path / f"model-{part}.safetensors")
    write_index(tmp_path, a="model-a.safetensors", b="model-b.safetensors")
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def write_index(folder: Path, **parts: str) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))


def test_a_folder_of_a_model_is_looked_through_before_its_library_reads_it(model_folder):
    assert check_folder(model_folder) == model_folder
    for loader in ("transformers folder", "sentence-transformers folder", "CTranslate2 folder"):
        assert LOADERS[loader](model_folder / "config.json") == model_folder


def test_what_no_library_of_ours_reads_may_be_anything(model_folder):
    (model_folder / "tf_model.h5").write_text("version https://git-lfs.github.com/spec/v1\n")
    (model_folder / "README.md").write_text("<html>")
    notes = model_folder / ".cache/huggingface/download"
    notes.mkdir(parents=True)
    (notes / "config.json").touch()
    (notes / "config.json.lock").touch()
    assert check_folder(model_folder) == model_folder


@pytest.mark.parametrize(
    ("break_it", "found"),
    [
        (lambda folder: write_index(folder, a="../model.safetensors"), "index.json: names ../model.* lies outside"),
        (lambda folder: write_index(folder, a="/etc/passwd"), "index.json: names /etc/passwd, which lies outside"),
        (lambda folder: write_index(folder, a="c.safetensors"), "names c.safetensors, which is not there"),
        (lambda folder: (folder / "model-b.safetensors").unlink(), "names model-b.safetensors, which is not there"),
        (lambda folder: write_index(folder, a=["x"]), "expected the names of files under `weight_map`"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json: not a readable JSON file"),
        (lambda folder: (folder / "config.json").write_text("<!DOCTYPE html>"), "config.json: a web page"),
        (lambda folder: (folder / "vocab.txt").touch(), "vocab.txt: an empty file"),
        (lambda folder: os.truncate(folder / "model-a.safetensors", 60), "model-a.safetensors: not a readable file"),
        (
            lambda folder: (folder / "model-a.safetensors").write_bytes(b"\xff" * 7 + b"\x7f{}"),
            "model-a.safetensors: not a readable file",
        ),
        (
            lambda folder: (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Path("x"))),
            "pytorch_model.bin: not a readable torch file",
        ),
    ],
)
def test_a_folder_of_a_model_that_leads_elsewhere_or_is_not_whole_is_named(model_folder, break_it, found):
    break_it(model_folder)
    with pytest.raises(UnreadableFile, match=found):
        check_folder(model_folder)


def test_a_reader_that_dies_or_hangs_costs_one_file(tmp_path, monkeypatch):
    for name in ("a", "b"):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["v"] = VALUES
    source = open_source(tmp_path, "hdf5", None)
    source._process.kill()
    with pytest.raises(UnreadableFile, match=r"a\.h5: damaged, reading it ends the program"):
        source.read("a.h5")
    assert np.array_equal(source.read("b.h5"), VALUES)
    monkeypatch.setattr("workflow_scripts.lib.store.apart._PATIENCE_S", 0.2)
    source._process.send_signal(signal.SIGSTOP)
    with pytest.raises(UnreadableFile, match=r"a\.h5: damaged, reading it does not come to an end"):
        source.read("a.h5")


def write_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("v", data=VALUES, compression="gzip")


def write_lmdb(path: Path) -> None:
    with lmdb.open(str(path), subdir=False, lock=False) as file, file.begin(write=True) as transaction:
        transaction.put(b"v1", pickle.dumps(VALUES))


def read_lmdb(path: Path) -> None:
    """Read in a fork, which may die or hang: that costs the reader's process (tested above), never an error unnamed."""
    child = os.fork()
    if not child:
        signal.alarm(5)
        code = 1
        with contextlib.suppress(BaseException):
            with contextlib.suppress(UserError):
                open_here(path, "lmdb", None).read("v1")
            code = 0
        os._exit(code)
    _, status = os.waitpid(child, 0)
    assert status == 0 or os.WIFSIGNALED(status)


class Doubled(torch.nn.Module):
    """A network with a parameter, a buffer and a part."""

    def __init__(self) -> None:
        super().__init__()
        self.part = torch.nn.Linear(2, 2)
        self.register_buffer("mean", torch.zeros(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.part(x - self.mean)


def write_torchscript(path: Path) -> None:
    torch.jit.save(torch.jit.script(Doubled()), path)


FORMS: dict[str, tuple[Callable[[Path], object], Callable[[Path], object]]] = {
    "a.npy": (lambda path: np.save(path, VALUES), rows_in),
    "a.npz": (lambda path: np.savez_compressed(path, v=VALUES), rows_in),
    "a.pkl": (lambda path: path.write_bytes(pickle.dumps({"v1": VALUES, "list": [[1.0, 2]]}, 2)), rows_in),
    "b.pkl": (lambda path: path.write_bytes(pickle.dumps({"blobs": {"a": VALUES}}, 5)), LOADERS["Caffe2 pickle"]),
    "a.pt": (lambda path: torch.save(torch.from_numpy(VALUES), path), rows_in),
    "b.pt": (lambda path: torch.save({"a": torch.ones(3)}, path, _use_new_zipfile_serialization=False), read_published),
    "a.safetensors": (lambda path: save_file({"a": torch.ones(3)}, path), read_safetensors),
    "a.h5": (write_hdf5, rows_in),
    "a.mdb": (write_lmdb, read_lmdb),
    "c.pt": (write_torchscript, LOADERS["TorchScript archive"]),
}


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return the bytes with some flipped, cut off, put in twice, or set to the largest number."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5))):
        place = chance.randrange(min(len(changed), chance.choice((64, 512, len(changed)))) or 1)
        match chance.randrange(5):
            case 0 | 1:
                changed[place : place + 1] = bytes([chance.randrange(256)])
            case 2:
                changed[place : place + 4] = b"\xff" * chance.choice((4, 7))
            case 3:
                del changed[place : place + chance.choice((1, 8, len(changed)))]
            case 4:
                changed[place:place] = changed[place : place + chance.choice((1, 8, 1000))]
    return bytes(changed)


def fuzz(folder: Path, name: str, times: int) -> None:
    """Read a file after each of many mutations: it has rows, or an error that a person can read."""
    write, read = FORMS[name]
    write(folder / name)
    data, chance = (folder / name).read_bytes(), random.Random(name)
    if name == "a.h5":
        source = open_source(folder, "hdf5", None)  # One process for all: starting one takes longer than reading.
        read = lambda path: source.read(path.name)  # noqa: E731
    for i in range(times):
        (folder / name).write_bytes(mutated(data, chance))
        try:
            read(folder / name)
        except UserError:
            pass
        except Exception as error:
            raise AssertionError(f"mutation {i} of {name}") from error


@pytest.mark.parametrize("name", sorted(FORMS))
def test_no_mutation_of_a_file_gives_more_than_an_error(tmp_path, name):
    fuzz(tmp_path, name, 50)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FORMS))
def test_no_mutation_of_many_gives_more_than_an_error(tmp_path, name):
    fuzz(tmp_path, name, 2000)
