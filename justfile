# What contributors run daily. https://just.systems; every line works by hand, too.

# Fast tests, as README has them
test *args:
    python -m pytest -n 2 {{args}}

# What takes minutes: networks, real stacks in ../shared, killed processes
slow *args:
    python -m pytest -m slow --durations 20 {{args}}

lint:
    ruff check --fix
    ruff format

# mypy and import-linter read one package from a path: an editable install leaves the folders apart
types: _joined
    MYPYPATH=build/joined python -m mypy -p zfuse

imports: _joined
    PYTHONPATH=build/joined lint-imports

_joined:
    python .ci/joined.py

# Kernels as plain Python, with coverage: numba's bodies are invisible to it
coverage:
    NUMBA_DISABLE_JIT=1 python -m pytest tests/kernels --cov=zfuse.kernels --cov-report=term-missing:skip-covered

docs:
    mkdocs build

# Fingerprints of all methods: has any bit of any result changed?
fingerprints:
    python tests/support/fingerprints.py tests/support/fingerprints.json --check

demo:
    zfuse demo

bench:
    zfuse bench

# Everything that decides, in a fresh environment
ci:
    bash .ci/run
