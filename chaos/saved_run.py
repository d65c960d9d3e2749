"""The run that the tool ckpt-chaos crashes: it kills the run at a file operation and restarts it.

python -m chaos.saved_run FOLDER SPEC DATA CACHE
"""

import shutil
import sys
from pathlib import Path

from core.run import main

if __name__ == "__main__":
    folder, spec, data, cache = (Path(word) for word in sys.argv[1:5])
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(spec, folder / "spec.json")
    sys.exit(main([str(folder), "--data-dir", str(data), "--cache-dir", str(cache)]))
