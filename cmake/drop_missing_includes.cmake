# The ROS wheels' generator targets name include directories of the machine that built them, and CMake
# stops at an imported include directory that does not exist. A distribution has none: nothing is dropped.
get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
list(FILTER targets INCLUDE REGEX "__rosidl_generator_py$")
foreach(target IN LISTS targets)
  get_target_property(includes ${target} INTERFACE_INCLUDE_DIRECTORIES)
  set(existing "")
  foreach(directory IN LISTS includes)
    if(EXISTS "${directory}" OR directory MATCHES "\\$<")
      list(APPEND existing "${directory}")
    endif()
  endforeach()
  set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${existing}")
endforeach()
