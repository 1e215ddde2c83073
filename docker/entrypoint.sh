#!/bin/sh
# The tools of the environment run as they are; anything else is a command of redifine (repro, sample, report, ...).
set -eu
case "${1:-}" in
    dvc | git | make | python | redifine | sh | bash) exec "$@" ;;
    "") exec redifine --help ;;
    *) exec redifine "$@" ;;
esac
