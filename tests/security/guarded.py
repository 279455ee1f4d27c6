"""Run the command of fitx many times in one process, and report all it did to the outside.

Reads a request a line, as JSON, from standard input and writes an answer a line to standard output.
What is run is `fitx.cli.main.main`, as the console script runs it.
"""

import json
import os
import resource
import sys
from contextlib import suppress
from importlib.metadata import distribution
from pathlib import Path

PROGRAMS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty"}
NETWORK = {"socket.connect", "socket.getaddrinfo", "socket.bind", "urllib.Request"}
CHANGES = {
    *("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.symlink", "os.link", "os.truncate"),
    *("os.chmod", "os.chown", "os.utime", "shutil.rmtree", "shutil.move", "shutil.unpack_archive"),
}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
OWN = Path(__file__).resolve().parents[2]
PACKAGES = distribution("click").locate_file("")
TRUSTED = tuple(str(Path(p).resolve()) for p in (sys.prefix, sys.base_prefix, PACKAGES, OWN))
GIB = 1 << 30


class Watch:
    """Hears of everything that Python does and keeps what a file that is data must not cause."""

    def __init__(self):
        self.seen, self.allowed, self.plugins, self.is_on = [], (), (), False

    def __call__(self, event, arguments):
        if not self.is_on:
            return
        self.is_on = False
        try:
            if self._is_suspicious(event, arguments):
                self.seen.append(f"{event} {arguments!r}"[:300])
        finally:
            self.is_on = True

    def _is_suspicious(self, event, arguments):
        if event in PROGRAMS:
            # Training asks git about the working folder.
            return arguments[:1] != ("git",)
        if event in NETWORK or event == "pickle.find_class":
            return True
        if event == "open":
            path, mode, flags = arguments
            writes = set(mode) & set("wax+") if mode else flags & WRITES
            if not writes or isinstance(path, int):
                return False
            # A link at the end of such a path is refused by the kernel.
            return self._is_outside(os.path.dirname(path) if flags & os.O_NOFOLLOW else path)
        if event in CHANGES:
            places = [a for a in arguments[:2] if isinstance(a, str | bytes | os.PathLike)]
            return any(self._is_outside(place) for place in places)
        return event == "exec" and self._is_foreign(arguments[0].co_filename)

    def _is_outside(self, path):
        place = os.path.realpath(os.fsdecode(path) or ".")
        return place != os.devnull and not f"{place}/".startswith(self.allowed)

    def _is_foreign(self, file):
        """Whether code comes from a file that is neither Python's, a package's, nor fitx' own."""
        is_file = os.path.isabs(file) and not file.startswith(TRUSTED)
        return is_file and not file.startswith(self.plugins)


class Barrier:
    """Ends a command that begins to import TensorFlow: it has refused nothing that it has read."""

    CODE = 88

    def find_spec(self, name, path=None, target=None):
        if name in ("tensorflow", "keras"):
            sys.exit(self.CODE)


class Process:
    """Runs one request after another, each with streams and working folder of its own."""

    def __init__(self):
        self.answers = os.fdopen(os.dup(1), "w")
        self.watch = Watch()
        sys.addaudithook(self.watch)

    def serve(self):
        for line in sys.stdin:
            answer = self.answer(json.loads(line))
            print(json.dumps(answer), file=self.answers, flush=True)

    def answer(self, request):
        os.chdir(request["folder"])
        os.environ.update(request.get("variables", {}))
        # Keras writes a network into a temporary folder first.
        places = (request["folder"], os.environ["TMPDIR"])
        self.watch.seen, self.watch.allowed = [], tuple(f"{os.path.realpath(p)}/" for p in places)
        self.watch.plugins = tuple(request.get("plugins", ()))
        if not request.get("is_warming"):
            _limit_memory()
        before = _peak()
        known = set(sys.modules)
        with _captured() as streams:
            self.watch.is_on = True
            try:
                code = _call(request)
            finally:
                self.watch.is_on = False
        for name in request.get("variables", {}):
            os.environ.pop(name, None)
        return {
            "code": code,
            **streams.texts(),
            "seen": self.watch.seen + _foreign_modules(known, self.watch),
            "megabytes": (_peak() - before) / 1024,
            "tensorflow": "tensorflow" in sys.modules,
        }


def _call(request):
    if "loader" in request:
        # The control: what must fire the canary.
        from vulnerable import LOADERS

        with suppress(Exception):
            LOADERS[request["loader"]](request["file"])
        return 0
    from fitx.cli.main import main

    sys.argv = ["fitx", *request["words"]]
    finders = list(sys.meta_path)
    if request.get("is_light"):
        sys.meta_path.insert(0, Barrier())
    try:
        main()
    except SystemExit as error:
        return error.code
    finally:
        sys.meta_path[:] = finders
    return None


def _limit_memory():
    """Let a bomb meet a limit 2 GiB above what is in use, not the machine's."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + 2 * GIB
    resource.setrlimit(resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _foreign_modules(known, watch):
    files = {
        name: getattr(sys.modules[name], "__file__", None) for name in set(sys.modules) - known
    }
    return [
        f"import {name} {file}" for name, file in files.items() if file and watch._is_foreign(file)
    ]


class _captured:
    """Everything written to the two output streams, by C++ code too."""

    def __enter__(self):
        self.kept, self.stream = [os.dup(1), os.dup(2)], sys.stdout
        self.files = [os.memfd_create("out"), os.memfd_create("err")]
        for descriptor, file in zip((1, 2), self.files, strict=True):
            os.dup2(file, descriptor)
        return self

    def __exit__(self, *_):
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout = self.stream
        for descriptor, kept in zip((1, 2), self.kept, strict=True):
            os.dup2(kept, descriptor)
            os.close(kept)

    def texts(self):
        texts = []
        for file in self.files:
            with os.fdopen(file, "rb") as opened:
                opened.seek(0)
                texts.append(opened.read().decode(errors="replace"))
        return {"out": texts[0], "err": texts[1]}


if __name__ == "__main__":
    Process().serve()
