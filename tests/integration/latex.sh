#!/usr/bin/env bash
# The LaTeX tables of a report, set in one and in two columns: no error, nothing wider than its column.
set -euo pipefail
tables="$(realpath "$1")/report.tex"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
for columns in onecolumn twocolumn; do
    cat > "$work/$columns.tex" <<END
\\documentclass[$columns]{article}
\\usepackage{booktabs,graphicx}
\\begin{document}
\\input{$tables}
\\end{document}
END
    # The second run knows the labels.
    for _ in 1 2; do
        pdflatex -interaction=nonstopmode -halt-on-error -output-directory "$work" \
            "$work/$columns.tex" > "$work/said" || { tail -20 "$work/said" >&2; exit 1; }
    done
    if grep -E 'Overfull|LaTeX Warning' "$work/said" >&2; then exit 1; fi
done
echo "the tables of $1 fit one and two columns"
