"""The review, answered: docs/explanation/the-review-answered.md, made from what studies of configs/review/ left.

`python -m sim.review OUT FOLDER` takes the tables of the studies from `OUT` (`./dev study` writes them to out/)
into `FOLDER/the-review-answered/` and makes the page and its pictures from them. A sentence that a table does not
bear out stops the making (`sim.review.answers.Unsupported`).
"""
