"""Runs moto's server, and ends it when the process that started it is gone, however that one ended.

The starter sets SEALBRIDGE_LIFELINE=stdin and holds the other end of standard input: the kernel closes it with the
starter. SEALBRIDGE_LIFELINE_REMOVE names a data folder that is worth nothing after that.
"""

import os
import shutil
import signal
import threading
import traceback

from moto.server import main


def serve():
    try:
        main()
    except BaseException:
        traceback.print_exc()
    os._exit(1)  # sys.exit would end this thread alone


def serve_until_the_starter_is_gone():
    # The end of the starter is also a signal, which would end us before the folder is gone.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=serve, daemon=True).start()
    while os.read(0, 4096):
        pass
    folder = os.environ.get("SEALBRIDGE_LIFELINE_REMOVE")
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


if os.environ.get("SEALBRIDGE_LIFELINE") == "stdin":
    serve_until_the_starter_is_gone()
else:
    main()
