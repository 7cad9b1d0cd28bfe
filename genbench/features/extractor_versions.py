"""What features are known by: the version of genbench's own extractors,
the hash of the code of anybody else's.

The version stands on the row and is raised by hand when the features change; tests/golden holds the
two together. Until the end of November 2026 a hash of source text stood in its place: the table
below gives the hashes that mean version 1, so that files and records of then go on being read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from genbench._util.hashing import digest
from genbench._util.source_files import code_of_files
from genbench.api.extractor import Extractor
from genbench.api.validation import source_of

# Code that strangers' extractors use of genbench's: how images are resized, networks built and
# checkpoints read; that of other precisions than float32 and of texts beside it. These are version
# 1; should one change what it computes, the hash of every stranger's extractor must change with it.
PREPARATION_CODE_1 = (
    "ec72c7bbb58a5a9c5ea902940b93934f400119c017312ec7eceff7b94064a4d2",
    "4505992201f18b94b0aa494e9f45577c1e9a6d0bc178ebba593d590572c3be4e",
    "2a4f5cf6f3d6cc8986e69df2b332c7812bddf862da8f442a1621b954fd28616b",
)
PRECISION_CODE_1 = "9d6490cb8c177f7b01bae8018b32aaf8262668207c5332d89f5829d32bdcb7bc"
TOKENIZER_CODE_1 = "b4d86db6bcb286d1eeffce8e515f0d6c5d9a185d8160e3f1afcc9065ea7c034d"


def is_ours(function: Callable[..., Any]) -> bool:
    """Whether a row's function is genbench's own, so that golden numbers guard it."""
    return (getattr(function, "__module__", None) or "").partition(".")[0] == "genbench"


def version_of(row: Extractor, precision: str = "float32") -> str:
    """What an extractor's features are known by: "digits/1";
    of a stranger "NAME/1@SHA-256" of its file and of those that it imports.
    """
    named = f"{row.name}/{row.version}"
    if is_ours(row.load):
        return named
    shared = [
        *PREPARATION_CODE_1,
        *([PRECISION_CODE_1] if precision != "float32" else []),
        *([TOKENIZER_CODE_1] if row.vocabulary else []),
    ]
    return f"{named}@{digest([code_of_files(source_of(row.load)), *shared])}"


def of_hash(name: str, code: str) -> str:
    """A word of an earlier genbench, a bare hash, as today's:
    the version that it means, or itself where nobody knows what it means.
    """
    return f"{name}/1" if code in VERSION_1.get(name, ()) else code


def bare(version: str) -> str:
    """A version without its name where it carries a stranger's hash:
    the word that an earlier genbench wrote of the same code.
    """
    named, at, code = version.partition("@")
    return code if at and named.endswith("/1") else version


def same(was: Any, now: Any) -> bool:
    """Whether two versions, or two extractors' identities that hold one, are one."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        return was.keys() == now.keys() and all(same(was[key], now[key]) for key in was)
    return (
        bool(bare(was) == bare(now))
        if isinstance(was, str) and isinstance(now, str)
        else bool(was == now)
    )


def earlier(identity: Mapping[str, str]) -> dict[str, str]:
    """The identity of an extractor as an earlier genbench wrote it:
    with the hash that means its version 1, where there is one.
    """
    if "code" not in identity:
        return dict(identity)
    name, _, number = identity["code"].partition("/")
    known = VERSION_1.get(name, ()) if number == "1" else ()
    code = (
        known[identity.get("precision", "float32") != "float32"]
        if known
        else bare(identity["code"])
    )
    return {**identity, "code": code}


def seal_of(identity: Mapping[str, str]) -> str:
    """What tells features of one extractor and one weights file apart in the names of files:
    version, and package and precision where they are in it.
    """
    more = {key: value for key, value in identity.items() if key not in ("weights", "code")}
    code = bare(identity["code"])
    version = code.partition("/")[2]
    if version.isdecimal():
        return f"v{version}{f'+{digest(more)[:8]}' if more else ''}"
    return (digest([code, more]) if more or version else code)[:16]


def earlier_seal_of(identity: Mapping[str, str]) -> str:
    """The same as names of files of an earlier genbench have it."""
    return seal_of(earlier(identity))


#: Extractor -> the hashes of its code that mean version 1: in float32, in other precisions, and one
#: of older boards whose features are the same to the bit.
VERSION_1: Mapping[str, tuple[str, ...]] = {
    "clip-text-b-32": (
        "1546c8327b0044fc4a7749239f8f341051951059d627ee422817bc0f7a6f4d01",
        "e84c2196219d2d82d1ef1c816072e7c78a6b43b63be90633e3b8a03d8945559e",
    ),
    "clip-text-l-14-336": (
        "1546c8327b0044fc4a7749239f8f341051951059d627ee422817bc0f7a6f4d01",
        "e84c2196219d2d82d1ef1c816072e7c78a6b43b63be90633e3b8a03d8945559e",
    ),
    "clip-vit-b-32": (
        "fab75df52c297786eb919e0087c690204a95373e38e549ef4767248e2e5c37f6",
        "84c9132b1495eb0c581059eec779278ec33886485aeb9eacf40e0f69dd2fc201",
    ),
    "clip-vit-b-32-tf1": (
        "fab75df52c297786eb919e0087c690204a95373e38e549ef4767248e2e5c37f6",
        "84c9132b1495eb0c581059eec779278ec33886485aeb9eacf40e0f69dd2fc201",
    ),
    "clip-vit-l-14-336": (
        "fab75df52c297786eb919e0087c690204a95373e38e549ef4767248e2e5c37f6",
        "84c9132b1495eb0c581059eec779278ec33886485aeb9eacf40e0f69dd2fc201",
    ),
    "digits": (
        "ce8abf2e57445b45ab5c0c04823a305a44f27012d7d8041e72cebbc3d3b2db70",
        "928a546b44f70b0aa13115878fed88b2ed0c17b72ff7dc5e28a45868e433289f",
        "5f66d4a7fc38847110d08548865051881cfde2078ec52bb7622e32c0b5f7ce50",
    ),
    "dinov2-vit-l-14": (
        "9fcf782dc8a5fe7c49b810d7e8a15d977a07136ed1cfd803e24ceafaa6f4caed",
        "4d30c73576794122471df508e3bc36843c5673d4ec8cbb91251b84b431824314",
    ),
    "dinov2-vit-l-14-edm2": (
        "9fcf782dc8a5fe7c49b810d7e8a15d977a07136ed1cfd803e24ceafaa6f4caed",
        "4d30c73576794122471df508e3bc36843c5673d4ec8cbb91251b84b431824314",
    ),
    "dinov2-vit-l-14-tf1": (
        "9fcf782dc8a5fe7c49b810d7e8a15d977a07136ed1cfd803e24ceafaa6f4caed",
        "4d30c73576794122471df508e3bc36843c5673d4ec8cbb91251b84b431824314",
    ),
    "inception-clean": (
        "2b5f8791253357d8907198b413915a6a6d6cef716416f533545082d5dae08db4",
        "f585e2bab04ae70c3797dff5ae446760a1a9c431a0a5379ba5573e3703ad4318",
    ),
    "inception-clean-unclipped": (
        "2b5f8791253357d8907198b413915a6a6d6cef716416f533545082d5dae08db4",
        "f585e2bab04ae70c3797dff5ae446760a1a9c431a0a5379ba5573e3703ad4318",
    ),
    "inception-nvidia": (
        "2b5f8791253357d8907198b413915a6a6d6cef716416f533545082d5dae08db4",
        "f585e2bab04ae70c3797dff5ae446760a1a9c431a0a5379ba5573e3703ad4318",
    ),
    "inception-tf1": (
        "2b5f8791253357d8907198b413915a6a6d6cef716416f533545082d5dae08db4",
        "f585e2bab04ae70c3797dff5ae446760a1a9c431a0a5379ba5573e3703ad4318",
    ),
    "inception-torch": (
        "2b5f8791253357d8907198b413915a6a6d6cef716416f533545082d5dae08db4",
        "f585e2bab04ae70c3797dff5ae446760a1a9c431a0a5379ba5573e3703ad4318",
    ),
    "inception-torch-aa": (
        "2b5f8791253357d8907198b413915a6a6d6cef716416f533545082d5dae08db4",
        "f585e2bab04ae70c3797dff5ae446760a1a9c431a0a5379ba5573e3703ad4318",
    ),
    "inception-tv": (
        "3c574c54b57ec1235c1934c34dc5a218347816fc7af67850df64db037dcd472c",
        "d6427695e6a856a0fbcbfbbb6cd43c9d733704683348838aad268452a6c41dc2",
    ),
    "lpips-alex": (
        "d0def5971173d1d42e9ea5b373467d6ecdd3cf0a8fd243dcc10b5871b7572fd5",
        "47f41c41889c346b5a0ca72eb3817de68c744127b6fa339a9e6442b866b5ab29",
    ),
    "lpips-squeeze": (
        "d0def5971173d1d42e9ea5b373467d6ecdd3cf0a8fd243dcc10b5871b7572fd5",
        "47f41c41889c346b5a0ca72eb3817de68c744127b6fa339a9e6442b866b5ab29",
    ),
    "lpips-vgg": (
        "d0def5971173d1d42e9ea5b373467d6ecdd3cf0a8fd243dcc10b5871b7572fd5",
        "47f41c41889c346b5a0ca72eb3817de68c744127b6fa339a9e6442b866b5ab29",
    ),
    "pixels": (
        "e6e93f280694434d1819717ec19cb3a17339a42fcdef3f4ce1585b79d4e3121c",
        "743311ed910eb2b0a6139cfb134549310ff5a77982a3811491b96feee67b8260",
    ),
    "vgg16": (
        "3c574c54b57ec1235c1934c34dc5a218347816fc7af67850df64db037dcd472c",
        "d6427695e6a856a0fbcbfbbb6cd43c9d733704683348838aad268452a6c41dc2",
    ),
}
