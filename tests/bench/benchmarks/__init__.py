"""One module for each benchmark; ``run(plan)`` gives its rows of the report."""
