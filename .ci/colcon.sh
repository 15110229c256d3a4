#!/usr/bin/env bash
# Builds this package with colcon in a workspace of its own, on top of the ROS wheels of an environment,
# and checks that it imports from the install tree and from the source tree.
# usage: .ci/colcon.sh ENVIRONMENT FOLDER    (FOLDER/venv holds colcon; FOLDER/ws is made anew)
set -euo pipefail
environment=$1
workspace=$2/ws
colcon=$2/venv/bin/colcon
source_tree=$PWD

# What activating the environment and sourcing a distribution would set.
export VIRTUAL_ENV=$environment PATH=$environment/bin:$PATH
export AMENT_PREFIX_PATH=$environment CMAKE_PREFIX_PATH=$environment

rm -rf "$workspace"
mkdir -p "$workspace/src"
ln -s "$source_tree" "$workspace/src/dw_ros"
cd "$workspace"
"$colcon" build --cmake-args -DBUILD_TESTING=OFF > build.log 2>&1 \
  || { cat build.log; exit 1; }

set +u # colcon's script reads variables that may be unset
source install/setup.bash
set -u
# The wheels restart Python with their own libraries in front, where `make build` may have put a dw_ros
# too. Do here what they would do, with the workspace first.
prefix=$workspace/install/dw_ros
libraries=$(echo "$environment"/lib/python3*/site-packages/ros_*.libs | tr ' ' ':')
export _ROS_WHEELS_BOOTSTRAP_COMPLETE=1 LD_LIBRARY_PATH=$prefix/lib:$environment/lib:$libraries

check='
import sys
from pathlib import Path
from ament_index_python.packages import get_package_share_directory
from rosidl_generator_py import import_type_support
import dw_core.errors, dw_ros, dw_ros.msg

prefix, package = sys.argv[1:]
extension = import_type_support("dw_ros").__file__
dw_ros.msg.Heatmaps()
libraries = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libdw_ros" in line}
places = [dw_ros.msg.__file__, extension, get_package_share_directory("dw_ros"), *libraries]
assert dw_ros.__file__.startswith(package), f"dw_ros comes from {dw_ros.__file__}, not from {package}"
assert libraries, "no message library was loaded"
wrong = [place for place in places if not place.startswith(prefix)]
assert not wrong, f"not from the workspace: {wrong}"
'
cd /
python -c "$check" "$prefix" "$prefix"
echo 'dw_ros.msg imports from the install tree'
cd "$source_tree"
python -c "$check" "$prefix" "$source_tree"
echo 'dw_ros.msg imports from the source tree'
[[ $(command -v dw) == "$prefix/bin/dw" ]]
dw --help >/dev/null
[[ -x $prefix/lib/dw_ros/trigger ]]
echo 'dw and the node executables are installed'
