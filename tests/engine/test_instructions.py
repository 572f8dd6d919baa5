"""The machine code of the kernels: an instruction that not all processors have is in functions for those that have it.

A processor without the instruction would end the process. Most machines that run these tests have all of them, so what
the compiler wrote is read instead. "AVX2" and "AVX-512" below include what they build upon.
"""

import re
import shutil
import subprocess
import sys

import pytest

from theano_rnn.engine import kernels

OF_SET = {
    "AVX2": re.compile(r"\sv[a-z0-9]+\s.*%[xyz]mm"),
    "AVX-512": re.compile(r"%zmm|%[xyz]mm(1[6-9]|2\d|3[01])|%k[0-7]"),
    "bfloat16": re.compile(r"\sv(dp|cvtne\w*)bf16"),
    "AMX": re.compile(r"\st(dp|ile)\w|tilecfg"),
}
ALLOWED_IN = {  # by the names of functions
    "AVX2": re.compile(r"\bavx(2|512)::"),
    "AVX-512": re.compile(r"\bavx512::"),
    "bfloat16": re.compile(r"\bavx512::.*(Dot|Amx|Bfloat16|pack_tile|Matrices<)"),
    "AMX": re.compile(r"\bavx512::.*Amx"),
}


@pytest.fixture(scope="module")
def functions():
    """For each function's name, its instructions as text."""
    objdump = shutil.which("objdump")
    if objdump is None or not sys.platform.startswith("linux") or not getattr(kernels.extension(), "instructions", ""):
        pytest.skip("no objdump, or no kernels here")
    command = [objdump, "--disassemble", "--demangle", "--no-show-raw-insn", kernels.extension().__file__]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    parts = re.split(r"^[0-9a-f]+ <(.*)>:$", text, flags=re.MULTILINE)
    return {name: code.splitlines() for name, code in zip(parts[1::2], parts[2::2])}


@pytest.mark.parametrize("instructions", OF_SET)
def test_instructions_are_in_functions_for_processors_that_have_them(functions, instructions):
    of_set, allowed = OF_SET[instructions], ALLOWED_IN[instructions]
    users = {name for name, code in functions.items() if any(of_set.search(line.split("<")[0]) for line in code)}
    assert [name for name in users if not allowed.search(name)] == []
    if instructions in ("AVX2", "AVX-512"):
        assert users  # else the pattern is wrong, or all kernels are gone


def test_functions_for_every_processor_call_none_for_avx512(functions):
    # they find those in tables, which are data; a function that fills such a table has AVX-512 in it
    called = re.compile(r"\s(?:call|jmp)\s.*<(.*)>$")
    calls = [(name, match.group(1)) for name, code in functions.items() if "avx512::" not in name
             for match in map(called.search, code) if match]  # fmt: skip
    assert calls
    assert [call for call in calls if "avx512::" in call[1]] == []
