"""The book's chapters: the settings of each, and how one starts and ends."""

from ribnb.book.chapters import CHAPTERS, book_ablations, finish, on_mnist, start
