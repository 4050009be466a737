"""Which system calls judges and candidates may make, as a seccomp filter.

An allow-list: everything else fails with EPERM, among it new processes and threads,
sockets, signals to others, writing and changing files, namespaces, and what tells of the machine
and of other processes (`uname`, `sysinfo`, the processor time and the affinity of others).
"""

from __future__ import annotations

import errno
import os
import tempfile
from functools import cache
from importlib import import_module

from neuromas_env.extras import missing

_ALLOWED = """
    brk mmap munmap mremap mprotect madvise membarrier
    read write recvmsg close fstat lseek pread64 readv writev getdents64 dup dup2 dup3
    stat lstat newfstatat statx readlink readlinkat access faccessat faccessat2 getcwd
    poll ppoll select pselect6
    rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall
    futex sched_yield nanosleep gettimeofday time times getrusage getrlimit
    getpid gettid getppid getpgrp getuid geteuid getgid getegid
    getrandom exit exit_group
"""
# With O_PATH alone a file that may not be read can be opened, and looked at.
_READ_ONLY = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC | os.O_PATH
# The clock of a process or thread is a negative number made of its own, and tells that it exists.
_NEGATIVE = 1 << 31
_CLOCKS = ("clock_gettime", "clock_getres", "clock_nanosleep")
# Not F_SETOWN and F_SETSIG: with those a process has the kernel send signals to others.
_FCNTL = (0, 1, 2, 3, 4, 1030)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC


class UnavailableError(Exception):
    """A piece of the sandbox cannot be had here; the message says what would help."""


@cache
def filter_program() -> bytes:
    """Return the filter as Berkeley packet filter instructions for this machine.

    Raises:
        UnavailableError: The package or the C library that makes it is missing.
    """
    try:
        seccomp = import_module("pyseccomp")
    except ImportError as error:
        raise UnavailableError(missing("the sandbox", "pyseccomp")) from error
    except RuntimeError as error:
        raise UnavailableError(
            "the C library libseccomp is missing: apt-get install libseccomp2, or the like"
        ) from error
    rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    for name in _ALLOWED.split():
        _allow(seccomp, rules, name)
    _allow(seccomp, rules, "openat", seccomp.Arg(2, seccomp.MASKED_EQ, _READ_ONLY, os.O_RDONLY))
    for name in _CLOCKS:
        _allow(seccomp, rules, name, seccomp.Arg(0, seccomp.MASKED_EQ, _NEGATIVE, 0))
    _allow(seccomp, rules, "sched_getaffinity", seccomp.Arg(0, seccomp.EQ, 0))
    for command in _FCNTL:
        _allow(seccomp, rules, "fcntl", seccomp.Arg(1, seccomp.EQ, command))
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def _allow(seccomp, rules, name: str, *conditions) -> None:  # type: ignore[no-untyped-def]
    try:
        rules.add_rule(seccomp.ALLOW, name, *conditions)
    except (OSError, ValueError):
        pass  # not on this architecture, or newer than this libseccomp: stays forbidden
