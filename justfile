# Short names for the commands of CONTRIBUTING.md: `just --list`.

# Everything that must hold, as on CI
ci:
    .ci/run

# Whether everything compiles
check:
    cargo check --workspace --all-targets --release --locked

# All tests; names as in `just test -- some_test`
test *arguments:
    cargo test --workspace --release --locked {{arguments}}

# Clippy, without findings
lint:
    cargo clippy --workspace --all-targets --release --locked -- -D warnings

# Formats every file
format:
    cargo fmt --all

# Documentation of all crates
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --release --locked

# The guide as web pages in docs/guide/book; needs mdbook
guide:
    mdbook build docs/guide

# The first study
quickstart:
    cargo run --release --locked -- search configs/quickstart.toml

# Golden files, pinned results and reference pages, written anew; read the difference
goldens:
    KILN_BLESS=1 cargo test --workspace --release --locked

# Pages with figures, from benches/results
pages:
    python3 benches/page.py

# Licenses, sources and bans of dependencies; needs cargo-deny
deny:
    cargo deny --locked check bans licenses sources

# The pictures of README.md; needs tmux
images:
    cargo build --release --locked
    docs/images/make.sh
