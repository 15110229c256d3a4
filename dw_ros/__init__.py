"""DenseWarper ROS, the nodes. The messages `dw_ros.msg` are generated and installed by the build."""

import os
import pkgutil

# In a source tree this folder hides the installed package that holds the generated messages.
__path__ = pkgutil.extend_path(__path__, __name__)

# Nodes share a few cores and their matrices are small: threads of the linear algebra only get in each
# other's way. It is read when numpy is first imported, so it has to be set before.
for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
