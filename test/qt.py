"""The end of Qt's objects in tests."""

import gc

from python_qt_binding.QtCore import QCoreApplication, QEvent


def delete(*objects):
    """Delete them here and now.

    Python's collector, which runs in whatever thread comes to it, would delete what is left over beside the thread that
    Qt draws in, and that is a crash; and without a running event loop `deleteLater` alone never comes to pass.
    """
    for each in objects:
        each.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.DeferredDelete)
    gc.collect()
