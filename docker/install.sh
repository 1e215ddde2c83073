#!/bin/sh
# install.sh [LOCK...]: put the project into the environment, and end the build where the two do not fit.
set -eu
pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation --editable .
# Without a Git repository DVC must be told so; a checkout that is mounted here brings its own settings.
[ -d .git ] || dvc config --local core.no_scm true
chown -R redifine: .dvc
python docker/check.py requirements.lock "$@"
