# DenseWarper ROS in a plain Python environment, with ROS 2 from wheels. `make help` lists the goals.
# In a ROS distribution use `colcon build` instead.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help build checklist demo view detector docs gpu joint_refiner mcc peers rendered results training_scenes warper \
	test colcon clean distclean FORCE
MAKEFLAGS += --no-print-directory --no-builtin-rules

PYTHON ?= python3
ROS_DISTRO ?= jazzy
ifeq ($(filter jazzy kilted,$(ROS_DISTRO)),)
$(error ROS_DISTRO is '$(ROS_DISTRO)', but there are wheels for jazzy and kilted only: say make ROS_DISTRO=jazzy)
endif

VENV := $(if $(filter jazzy,$(ROS_DISTRO)),.venv,.venv-$(ROS_DISTRO))
BUILD := build/$(ROS_DISTRO)
BIN = $(abspath $(VENV))/bin
FIND_ROS = AMENT_PREFIX_PATH=$(abspath $(VENV)) CMAKE_PREFIX_PATH=$(abspath $(VENV))
CMAKE_FLAGS = -G Ninja -DCMAKE_MAKE_PROGRAM=$(BIN)/ninja -DPython3_EXECUTABLE=$(BIN)/python \
	-DCMAKE_INSTALL_PREFIX=$(abspath $(VENV)) -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF

# Nothing of another ROS may leak in: not a sourced distribution, not the environment that started this make
# (the ROS wheels restart Python with LD_LIBRARY_PATH set, and mark that in _ROS_WHEELS_BOOTSTRAP_COMPLETE).
unexport PYTHONPATH AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH
ifdef _ROS_WHEELS_BOOTSTRAP_COMPLETE
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE LD_LIBRARY_PATH
endif
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

# $(call pip_install,ENVIRONMENT,FILES): pip in words, which downloads are large and when it unpacks.
pip_install = $(1)/bin/pip install $(patsubst %,-r %,$(2)) 2> $(1)/pip.log \
	| sed -un -e 's/^ *Downloading \([^ ]*\) (\([0-9.]* MB\)).*/      \1, \2/p' \
		-e 's/^Installing collected.*/      unpacking/p' || { cat $(1)/pip.log >&2; exit 1; }

help:
	@echo 'make build       the environment $(VENV), the messages and the nodes in it'
	@echo 'make demo        build, fetch the footage and weights, run 20 s, results in out/demo'
	@echo 'make view        build, and the rerun viewer (225 MB to download) for dw view'
	@echo 'make test        build, then lint, types and all tests (with torch; kilted: the ROS tests, without)'
	@echo 'make docs        the demo again, and every figure of the documents from it'
	@echo 'make rendered    render the scenes of config/scenes/bench (30,000 images: hours) and measure on them, results'
	@echo '                 in out/rendered and the documents; goes on where it was; make rendered SCENES="walk_08 jump_01"'
	@echo '                 takes fewer, and leaves the documents alone'
	@echo 'make training_scenes   render the scenes of tools/training_scenes.py (7,000 images); goes on where it was'
	@echo 'make detector    the training scenes, and the simulated 2D network fitted to the real one on them'
	@echo 'make warper      train the Warpers on motion capture in DW_DATA (ten minutes), and docs/warper.md; goes on where it was'
	@echo 'make joint_refiner   the training scenes, train the joint refiners on them and on motion capture in DW_DATA'
	@echo '                 (forty minutes), and docs/joint-refiner.md; goes on where it was'
	@echo 'make mcc         train MCC, a peer of the motion benchmark; goes on where it was'
	@echo 'make peers       train the Warper with each loss, without dt, and the paper'"'"'s in its place, measure them, and'
	@echo '                 docs/warper.md (an hour); goes on where it was'
	@echo 'make results     training_scenes, warper, joint_refiner, mcc, peers, docs and rendered: every table and picture of'
	@echo '                 docs/results.md, docs/warper.md and docs/joint-refiner.md (some four hours); goes on where it was'
	@echo 'make gpu         on a machine with a CUDA GPU: time from a frame to a pose, and docs/gpu.md from it'
	@echo 'make checklist  try the commands of a ROS user one after the other, and docs/ros-checklist.md (minutes)'
	@echo 'make colcon      the same package with colcon in a workspace of its own, and a check that it imports'
	@echo 'make clean       remove what was built, keep the environments, results and downloads'
	@echo 'make distclean   remove the environments and results too'
	@echo 'Options: ROS_DISTRO=jazzy|kilted (now $(ROS_DISTRO)), PYTHON=python3.12 (now $(PYTHON); 3.10 to 3.13)'

# --- build -----------------------------------------------------------------------------------------------

build: $(VENV)/.installed
	@echo 'ready: $(VENV)/bin/dw'

$(VENV)/.dependencies: requirements/base.txt requirements/$(ROS_DISTRO).txt
	@echo 'step 1 of 4: looking at this machine'
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null || { echo 'dw: $(PYTHON) is not a' \
		'Python 3.10 to 3.13: sudo apt install python3 python3-venv python3-dev, or say make PYTHON=...' >&2; exit 2; }
	@$(PYTHON) -B -m dw_core.cli.main doctor --build
	@echo 'step 2 of 4: environment $(VENV) with ROS 2 $(ROS_DISTRO) (about 300 MB to download the first time)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(call pip_install,$(VENV),$^)
	@touch $@

MESSAGES := $(sort $(wildcard msg/*.msg))
SOURCES := CMakeLists.txt package.xml $(MESSAGES) $(shell find cmake dw_core dw_ros launch config -type f \
	-not -path '*/__pycache__/*' | sort)

# The lists of files are prerequisites too, so that a removed file is noticed.
$(BUILD)/messages.txt: LIST = $(MESSAGES)
$(BUILD)/sources.txt: LIST = $(SOURCES)
$(BUILD)/messages.txt $(BUILD)/sources.txt: FORCE
	@mkdir -p $(BUILD)
	@cmp -s $@ <(echo '$(LIST)') || echo '$(LIST)' > $@

# From an empty folder: rosidl would go on linking the code of a message that was removed.
$(BUILD)/cmake/build.ninja: $(VENV)/.dependencies $(BUILD)/messages.txt
	@echo 'step 3 of 4: messages, looking for ROS 2 in the environment'
	@rm -rf $(BUILD)/cmake
	@$(FIND_ROS) $(BIN)/cmake -S . -B $(BUILD)/cmake $(CMAKE_FLAGS) > $(BUILD)/configure.log 2>&1 \
		|| { cat $(BUILD)/configure.log; rm -f $@; exit 1; }
	@touch $@

$(VENV)/.installed: $(BUILD)/cmake/build.ninja $(BUILD)/sources.txt $(SOURCES)
	@echo 'step 3 of 4: messages (half a minute when one is new)'
	@$(FIND_ROS) $(BIN)/ninja -C $(BUILD)/cmake $(if $(MAKE_TERMOUT),,\
		> $(BUILD)/ninja.log || { cat $(BUILD)/ninja.log; exit 1; })
	@echo 'step 4 of 4: installing dw_ros into $(VENV)'
	@rm -rf $(VENV)/lib/python3*/site-packages/dw_{core,ros} $(VENV)/{lib,share,include}/dw_ros
	@$(BIN)/cmake --install $(BUILD)/cmake > $(BUILD)/install.log
	@touch $@

# --- run and test ----------------------------------------------------------------------------------------

demo: build
	@$(BIN)/dw fetch
	@$(BIN)/dw demo --out out/demo

view: build $(VENV)/.view-dependencies
	@echo 'ready: $(VENV)/bin/dw view out/demo/bag, or --live'

$(VENV)/.view-dependencies: requirements/view.txt $(VENV)/.dependencies
	@echo 'rerun into $(VENV)'
	@$(call pip_install,$(VENV),$<)
	@touch $@

# Motion capture is not part of the project; config/splits.yaml says what is for training and what for measuring.
# $(call split,NAME,N): its files, or so many of each of its folders.
DW_DATA ?= ../shared/data
split = $(shell $(BIN)/python -m dw_core.data.splits config/splits.yaml $(DW_DATA) $(1) $(2))
VARIED = $(addprefix $(DW_DATA)/,cmu_mocap/08/08_03.amc cmu_mocap_bvh/indian/07.bvh cmu_mocap_bvh/martial/05.bvh)
# Clips of `test` that no other benchmark takes, those that move the rendered people included.
RENDERED = $(addprefix $(DW_DATA)/,$(shell sed -n 's|^- motion: $${DW_DATA}/||p' config/scenes/bench/*.yaml))
OTHERS = $(filter-out $(call split,test,1) $(VARIED) $(RENDERED),$(call split,test))
H36M_RIG := --rig $(DW_DATA)/rigs/h36m_cameras.json
# The peer that needs training takes part where `make mcc` has trained it.
MCC = $(addprefix --mcc ,$(wildcard out/mcc/best.safetensors))
BENCH_VARIED = $(BIN)/dw bench motion --motion $(VARIED) --limit-s 4
BENCH_PEERS = $(BENCH_VARIED) $(H36M_RIG) --mode causal \
	--jitter 0,0.25,0.5 --drops 0,0.2 --methods copy,epipolar,warper,warper_no_dt,paper_warper \
	--warper-no-dt out/warper_no_dt/best.safetensors --paper-warper out/paper_warper/best.safetensors

# $(ONCE) NAME COMMAND: the command without what it prints, unless it was done before `make docs` was interrupted.
ONCE = once() { test -e out/docs/$$1 || { "$${@:2}" > /dev/null; mkdir -p out/docs; touch out/docs/$$1; }; }; once

# Every figure and picture in the documents, made again; an interrupted run goes on with the benchmark where it was.
docs: demo
	@$(BIN)/python -m dw_core.evaluation.demo_report out/demo README.md docs
	@$(ONCE) speed $(BIN)/dw bench speed --json docs/results/speed.json
	@$(ONCE) nodes $(BIN)/dw bench nodes --json docs/results/nodes.json
	@$(BIN)/python -m dw_core.evaluation.speed_report docs/results/speed.json docs/results/nodes.json docs/results.md
	@$(ONCE) motion $(BIN)/dw bench motion --motion $(call split,test,1) $(H36M_RIG) --limit-s 8 $(MCC) \
		--json docs/results/motion.json --plots docs/images
	@$(ONCE) motion_ticks $(BENCH_VARIED) $(H36M_RIG) --tick-ms 5,10,20,40,80 --json docs/results/motion_ticks.json
	@$(ONCE) motion_jitter $(BENCH_VARIED) $(H36M_RIG) --jitter 0,0.1,0.25,0.5 --json docs/results/motion_jitter.json
	@$(ONCE) motion_drops $(BENCH_VARIED) $(H36M_RIG) --drops 0,0.1,0.2,0.4 --json docs/results/motion_drops.json
	@$(ONCE) motion_noise $(BENCH_VARIED) $(H36M_RIG) --noise none,gaussian:2,gaussian:5,gaussian:10,detector \
		--json docs/results/motion_noise.json
	@$(ONCE) motion_views $(BENCH_VARIED) --rig config/rigs/ring8_vga.yaml --views 2,3,4,6,8 --json docs/results/motion_views.json
	@$(ONCE) others $(BIN)/dw bench motion --motion $(OTHERS) $(H36M_RIG) --limit-s 8 \
		--methods dlt,dlt_weighted,dlt_refined,full_tracker,full_pipeline,tracker,pipeline --json docs/results/others.json
	@$(ONCE) models $(BIN)/dw bench models --motion $(call split,test,1) --tune-on $(call split,train,1) $(H36M_RIG) --seconds 4 \
		--json docs/results/models.json
	@$(BIN)/python -m dw_core.evaluation.motion_plots docs/images docs/results/motion_*.json
	@$(BIN)/python -m dw_core.evaluation.motion_report docs/results docs/results.md
	@$(ONCE) footage $(BIN)/dw bench footage --rig config/rigs/balance_beam.yaml --json docs/results/footage.json
	@$(BIN)/python -m dw_core.evaluation.footage_report docs/results/footage.json docs/results.md
	@$(BIN)/python -m dw_core.data.balance_beam config/rigs/balance_beam.yaml --report docs/results/balance_beam.json
	@$(BIN)/python -m dw_core.evaluation.balance_beam_report docs/results/balance_beam.json docs/footage.md
	@$(BIN)/python -m dw_core.safety.example config/separation_monitor.yaml docs/images/separation.png
	@rm -r out/docs

# Whose images are timed: rooms of three lamps and of one.
SHOWN := walk_08 uneven_03 jump_01 wash_02
SCENES ?= $(basename $(notdir $(sort $(wildcard config/scenes/bench/*.yaml))))
rendered: export DW_DATA := $(abspath $(DW_DATA))
rendered: build
	@$(BIN)/dw fetch
	@for scene in $(SCENES); do \
		$(BIN)/dw render config/scenes/bench/$$scene.yaml --out out/rendered/$$scene --sheet out/rendered/$$scene.jpg; \
	done
	@$(BIN)/dw bench rendered --footage $(SCENES:%=out/rendered/%) --json out/rendered/results.json \
		--plot out/rendered/errors.png --detector-plot out/rendered/detector.png
ifeq ($(origin SCENES),file)
	@cp out/rendered/results.json docs/results/rendered.json
	@cp out/rendered/errors.png docs/images/rendered_errors.png
	@cp out/rendered/detector.png docs/images/rendered_detector.png
	@$(BIN)/python -m dw_core.evaluation.rendered_report docs/results/rendered.json docs/results.md
	@$(BIN)/dw bench render config/scenes/walk.yaml $(SHOWN:%=config/scenes/bench/%.yaml) \
		--json docs/results/render.json > /dev/null
	@$(BIN)/python -m dw_core.evaluation.speed_report docs/results/render.json docs/rendered.md
endif

training_scenes: build
	@$(BIN)/dw fetch
	@$(BIN)/python tools/training_scenes.py $(DW_DATA) out/training
	@for scene in out/training/??.yaml; do $(BIN)/dw render $$scene --out $${scene%.yaml}; done

detector: training_scenes
	@$(BIN)/python -m dw_core.detector.fit out/training/?? --json dw_core/detector/movenet.json \
		--results docs/results/detector.json --plot docs/images/detector.png > /dev/null
	@$(BIN)/python -m dw_core.detector.report docs/results/detector.json docs/detector.md

TEST_REQUIREMENTS := requirements/test.txt requirements/view.txt $(if $(filter jazzy,$(ROS_DISTRO)),requirements/train.txt)
$(VENV)/.test-dependencies: $(TEST_REQUIREMENTS) $(VENV)/.dependencies
	@echo 'test tools, rerun$(if $(filter jazzy,$(ROS_DISTRO)), and torch) into $(VENV)'
	@$(call pip_install,$(VENV),$(TEST_REQUIREMENTS))
	@touch $@

test: build $(VENV)/.test-dependencies
ifeq ($(ROS_DISTRO),jazzy)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
endif
	$(BIN)/dw fetch
	$(BIN)/python -m pytest $(if $(filter jazzy,$(ROS_DISTRO)),test,test/dw_ros)

# $(call TRAIN,NETWORK,CONFIGURATION,FOLDER)
TRAIN = $(BIN)/dw train $(1) --config config/train/$(2).yaml --data $(DW_DATA) --out out/$(3) --resume
WARPER_REPORT = $(BIN)/python -m dw_core.evaluation.warper_report docs/results docs/warper.md
warper: build $(VENV)/.test-dependencies
	@for joints in coco17 h36m17; do \
		$(call TRAIN,warper,warper,warper_$$joints) --joint-set $$joints; \
		cp out/warper_$$joints/best.safetensors dw_core/fusion/warper_$$joints.safetensors; \
		cp out/warper_$$joints/result.json docs/results/warper_$$joints.json; \
	done
	@$(WARPER_REPORT)

# Rendered people have COCO's joints, so the two have configurations of their own.
joint_refiner: training_scenes $(VENV)/.test-dependencies
	@$(call TRAIN,joint_refiner,joint_refiner,joint_refiner_coco17)
	@$(call TRAIN,joint_refiner,joint_refiner_h36m17,joint_refiner_h36m17)
	@for joints in coco17 h36m17; do \
		cp out/joint_refiner_$$joints/best.safetensors dw_core/joint_refiner_$$joints.safetensors; \
		cp out/joint_refiner_$$joints/result.json docs/results/joint_refiner_$$joints.json; \
	done
	@$(BIN)/python -m dw_core.evaluation.refiner_report docs/results docs/joint-refiner.md

mcc: build $(VENV)/.test-dependencies
	@$(call TRAIN,mcc,mcc,mcc)

peers: build $(VENV)/.test-dependencies
	@$(call TRAIN,losses,warper,warper_losses) --joint-set h36m17
	@cp out/warper_losses/result.json docs/results/warper_losses.json
	@for peer in warper_no_dt paper_warper warper_few; do \
		$(call TRAIN,warper,$$peer,$$peer); \
		cp out/$$peer/result.json docs/results/$$peer.json; \
	done
	@$(BENCH_PEERS) --json docs/results/warper_peers.json > /dev/null
	@$(WARPER_REPORT)

# All of it, in this order: networks are trained before they are measured.
results:
	@for goal in training_scenes warper joint_refiner mcc peers docs rendered; do \
		test -e out/results/$$goal || { $(MAKE) $$goal; mkdir -p out/results; touch out/results/$$goal; }; \
	done
	@rm -r out/results

# torch of requirements/train.txt must be a CUDA build; without one, or without a GPU, it stops and says so.
gpu: build $(VENV)/.test-dependencies
	@$(BIN)/dw bench gpu --json docs/results/gpu.json
	@$(BIN)/python -m dw_core.evaluation.gpu_report docs/results/gpu.json docs/gpu.md

checklist: build $(VENV)/.test-dependencies
	@$(BIN)/dw fetch
	@$(BIN)/python tools/ros_checklist.py docs/results/ros_checklist.json docs/ros-checklist.md

COLCON := build/colcon
$(COLCON)/venv/.dependencies: requirements/colcon.txt $(VENV)/.dependencies
	@echo 'colcon into $(COLCON)/venv'
	@$(BIN)/python -m venv $(COLCON)/venv
	@$(call pip_install,$(COLCON)/venv,$<)
	@touch $@

colcon: $(COLCON)/venv/.dependencies
	@bash .ci/colcon.sh $(abspath $(VENV)) $(abspath $(COLCON))

clean:
	rm -rf build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find dw_core dw_ros launch test -name __pycache__ -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv .venv-kilted out
