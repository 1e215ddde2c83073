"""What keeps and shares the results: Git, DVC's remotes, DVC's cache and how it links."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from dvc.exceptions import DvcException
from dvc.fs import generic
from dvc.repo import Repo

from pipeline.core.errors import UserError
from pipeline.run.doctor import CheckResult, note, ok, problem
from pipeline.versioning.experiment_checks import check_git

_LINKS = ("reflink", "hardlink", "symlink")
_SECRETS = ("password", "secret", "token", "access_key", "account_key", "connection_string")


def git(root: Path) -> CheckResult:
    """Check whether experiments can be committed; plain `dvc repro` needs none of that."""
    try:
        check_git(root)
    except UserError as error:
        return note("git", "experiments cannot be kept", str(error))
    return ok("git", "identity set, params.yaml and dvc.yaml committed")


def dvc(root: Path) -> list[CheckResult]:
    """Check remotes and cache, or the one problem that hides them."""
    try:
        with Repo(str(root)) as repo:
            return [*remotes(repo), cache(repo)]
    except DvcException as error:
        return [problem("DVC", " ".join(str(error).split()), "run 'dvc init' in the project's folder, or fix dvc.yaml")]


def remotes(repo: Repo) -> list[CheckResult]:
    """Report where D_k and M_k can be shared, without the credentials in a URL."""
    found = {name: without_credentials(str(entry.get("url", ""))) for name, entry in repo.config["remote"].items()}
    tracked = repo.config.read("repo").get("remote", {})
    leaks = sorted(name for name, entry in tracked.items() if _has_secret(entry))
    if leaks:
        return [note("remotes", f"credentials of {', '.join(leaks)} are in .dvc/config, which Git shares",
                     "move them with 'dvc remote modify --local', and change them")]  # fmt: skip
    if not found:
        return [note("remotes", "none, so iterations cannot be shared", "run 'make remote URL=...'")]
    return [ok("remotes", ", ".join(f"{name}: {url}" for name, url in sorted(found.items())))]


def without_credentials(url: str) -> str:
    """Return a URL without its user: `ssh://me:secret@host/path` -> `ssh://host/path`."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a URL that cannot be read"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if parts.netloc else url


def _has_secret(entry: dict[str, object]) -> bool:
    inside = "@" in str(entry.get("url")) and ":" in urlsplit(str(entry.get("url"))).netloc.rpartition("@")[0]
    return inside or any(word in key for key in entry for word in _SECRETS)


def cache(repo: Repo) -> CheckResult:
    """Report how files go from the cache to the work tree: a copy takes the space and the time twice.

    `dvc.fs.generic.test_links` can go when a public function of DVC says which links work.
    """
    wanted = repo.cache.local.cache_types
    # A new project has no cache yet; it will be below .dvc.
    place = repo.cache.local.path if Path(repo.cache.local.path).is_dir() else repo.dvc_dir
    can = generic.test_links(list(_LINKS), repo.cache.local.fs, place, repo.fs, repo.root_dir)
    used = next((kind for kind in wanted if kind in can or kind == "copy"), "copy")
    if used == "copy":
        remedy = f"'dvc config cache.type {','.join([*can, 'copy'])}'" if can else "put the cache on the same file system"
        return note("cache", f"{repo.cache.local.path}, by copying: every file takes its space twice", remedy)
    return ok("cache", f"{repo.cache.local.path}, by {used}")
