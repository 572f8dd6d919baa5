"""C modules that one worker of a test session has compiled, for the other workers.

Each worker has a compile cache of its own (`quick_compilers`), because in a shared one all wait while one compiles. So
that they need not compile the same source several times, they keep the compiled files in a folder that they share.
"""

import hashlib
import os
import shutil
from pathlib import Path

import aesara
from aesara.link.c import cmodule


def share_c_modules(folder: Path) -> None:
    """Have Aesara look in `folder` for the result of a g++ command before it runs the command."""
    folder.mkdir(parents=True, exist_ok=True)
    run = cmodule.output_subprocess_Popen

    def run_once(command: list[str], **options: object) -> tuple[bytes, bytes, int]:
        if "-o" not in command:
            return run(command, **options)
        output, source = command[command.index("-o") + 1 :][:2]
        rest = " ".join(part for part in command if part not in (output, source))
        rest = rest.replace(aesara.config.compiledir, "")  # the precompiled header is in it
        compiled = folder / hashlib.sha256(rest.encode() + Path(source).read_bytes()).hexdigest()
        if compiled.exists():
            shutil.copyfile(compiled, output)
            return b"", b"", 0
        result = run(command, **options)
        if result[2] == 0:
            own = compiled.with_suffix(f".{os.getpid()}")
            shutil.copyfile(output, own)
            own.replace(compiled)
        return result

    cmodule.output_subprocess_Popen = run_once
