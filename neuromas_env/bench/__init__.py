"""Methods × tasks × seeds: answers in one store, statistics, tables, plots and a report."""
