"""Read single objects from the project's DVC remotes, where there are any and they can be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dvc.repo import Repo


class RemoteObjects:
    """The remotes, the default one first. One that fails is not asked again."""

    def __init__(self, repo: Repo) -> None:
        first = repo.config["core"].get("remote")
        self._repo, self._names = repo, sorted(repo.config["remote"], key=lambda name: (name != first, name))
        self.name = ""
        """Of the remote that had the last object."""
        self.failures: list[str] = []

    def read(self, md5: str) -> bytes | None:
        """Return the content that a remote has under a checksum, whatever it is; None where none has it."""
        for name in list(self._names):
            try:
                store = self._repo.cloud.get_remote_odb(name)
                content = bytes(store.fs.cat_file(store.oid_to_path(md5)))
            except FileNotFoundError:
                continue
            except Exception as error:  # of whichever library is behind it: there may be another way to the content
                self._names.remove(name)
                self.failures.append(
                    f"the remote {name} cannot be asked: {(str(error).splitlines() or [type(error).__name__])[0]}"
                )
                continue
            self.name = f"the remote {name}"
            return content
        return None
