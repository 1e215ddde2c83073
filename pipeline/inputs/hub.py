"""The hub of Hugging Face: where it is, and each failure of its library in one sentence, for models and data sets alike."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from pipeline.core.errors import UserError


def endpoint() -> str | None:
    """Return another hub than huggingface.co, as HF_ENDPOINT says now: the library reads it only when it is imported."""
    return os.environ.get("HF_ENDPOINT") or None


def require_online(repository: str) -> None:
    """Raise UserError when the environment forbids the network."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise _offline(repository)


@contextmanager
def hub_errors(
    repository: str, revision: str | None, kind: Literal["model", "data set"] = "model", address: str | None = None
) -> Iterator[None]:
    """Turn what the hub's library raises in the block, about a repository at a revision, into a UserError."""
    from huggingface_hub import errors
    from requests import RequestException

    where = address or endpoint() or "huggingface.co"
    path = f"datasets/{repository}" if kind == "data set" else repository
    try:
        yield
    except errors.GatedRepoError as error:
        raise UserError(
            f"{repository} is gated: accept its terms at https://huggingface.co/{path}, log in with 'hf auth login', "
            "and run again"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"{repository} has no revision {revision}; name a commit, tag or branch of it") from error
    except errors.RepositoryNotFoundError as error:
        raise _not_found(repository, kind, where) from error
    except errors.HFValidationError as error:
        raise UserError(f"{repository!r} is neither a folder here nor a repository of the hub (OWNER/NAME)") from error
    except errors.OfflineModeIsEnabled as error:
        raise _offline(repository) from error
    except errors.LocalEntryNotFoundError as error:
        raise _unreachable(repository, kind, where, error.__cause__ or error) from error
    except RequestException as error:
        raise _unreachable(repository, kind, where, error) from error
    except OSError as error:
        raise _interrupted(repository, error) from error


def _offline(repository: str) -> UserError:
    return UserError(f"HF_HUB_OFFLINE is set, so {repository} cannot be fetched; unset it for this one command")


def _not_found(repository: str, kind: str, where: str) -> UserError:
    advice = "check the name, or log in with 'hf auth login'"
    return UserError(f"there is no {kind} {repository} at {where}, or it is private; {advice}")


def _unreachable(repository: str, kind: str, where: str, error: BaseException) -> UserError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403, 404):
        return _not_found(repository, kind, where)
    reason = f"it answers {status}" if status else "no connection"
    return UserError(f"{repository} cannot be fetched from {where} ({reason}); check the network and run again to resume")


def _interrupted(repository: str, error: OSError) -> UserError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(f"the disk is full: {repository} is incomplete; free some space and run again to resume")
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return UserError(f"{repository} is incomplete ({reason}); run again to resume the download")
