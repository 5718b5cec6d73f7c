"""Root only until the first byte from the network: analytics that root started becomes another user before it reads.

What needs root comes before: ports below 1024, receive buffers beyond the system's limit, files that only root may
read. What is used later is loaded before too, because the other user may be unable to reach it: this tree, or Python
itself, may lie under a home of mode 0700. `load` imports what libraries import only when they are first used;
tests/analytics/test_privileges.py sees that nothing is opened or imported afterwards.

The kernel keeps users per thread. glibc's calls change all threads, prctl(2) only its own; so `drop` comes before any
thread is started.
"""

from __future__ import annotations

import contextlib
import ctypes
import encodings
import importlib
import logging
import os
import pkgutil
import pwd

log = logging.getLogger(__name__)

USERS = ("howdah", "nobody")  # the first that exists
PR_SET_NO_NEW_PRIVS = 38  # prctl(2)
LATE = (  # imported by asyncio, anyio, uvicorn and starlette when first used
    "anyio._backends._asyncio",
    "concurrent.futures.thread",
    "email.utils",
    "traceback",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.httptools_impl",
)


def drop(user: str | None) -> None:
    """Become `user` if we are root (None: howdah, or nobody where that does not exist), without groups and without a
    way back; "root" stays root, and says so.

    ValueError: there is no such user, or we are another one than that and not root. OSError: the system does not allow
    it.
    """
    if os.geteuid() == 0:
        _become(_account(user))
    elif user is not None and _account(user).pw_uid != os.geteuid():
        raise ValueError(f"user {user}: only root can become another user")
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"no_new_privs: {os.strerror(ctypes.get_errno())}")


def give(descriptor: int, user: str | None) -> None:
    """Have a file or directory that root made belong to the user whom `drop` becomes, with the errors of `drop`."""
    if os.geteuid() == 0:
        account = _account(user)
        os.fchown(descriptor, account.pw_uid, account.pw_gid)


def _become(account: pwd.struct_passwd) -> None:
    if account.pw_uid == 0:
        log.warning("stays root, because 'user' says so")
        return
    if len(os.listdir("/proc/self/task")) != 1:
        raise RuntimeError("threads were started before the user was changed")
    load()
    try:
        os.setgroups([])
        os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
        os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    except OSError as fault:
        why = f"cannot become user {account.pw_name}: {fault.strerror}; 'user: root' stays root"
        raise OSError(fault.errno, why) from None


def load() -> None:
    """Import what would otherwise be imported later. Of encodings all: some of the code that asks for one by its name
    is in C, and what it asks for may come from a client."""
    for name in (*LATE, *(f"encodings.{each.name}" for each in pkgutil.iter_modules(encodings.__path__))):
        with contextlib.suppress(ImportError):  # encodings of Windows
            importlib.import_module(name)


def _account(user: str | None) -> pwd.struct_passwd:
    for name in USERS if user is None else (user,):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ValueError(f"there is no user {user or ' or '.join(USERS)}; set 'user' in the section 'analytics'")
