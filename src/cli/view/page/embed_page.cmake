# SPDX-License-Identifier: Apache-2.0
# cmake -DSOURCE=folder -DSCRIPTS=a.js,b.js -DOUTPUT=x.c -P embed_page.cmake: page.html with its style and its scripts
# inside, as one C string for page.c.
cmake_minimum_required(VERSION 3.22)
# In hexadecimal, since CMake's lists would split at semicolons and brackets.
file(READ ${SOURCE}/page.html page HEX)
file(READ ${SOURCE}/style.css style HEX)
set(script "")
string(REPLACE "," ";" SCRIPTS "${SCRIPTS}")
foreach(name ${SCRIPTS})
  file(READ ${SOURCE}/${name} part HEX)
  string(APPEND script "${part}")
endforeach()
foreach(mark STYLE SCRIPT)
  string(HEX "@${mark}@" place)
  string(TOLOWER ${mark} value)
  string(REPLACE "${place}" "${${value}}" page "${page}")
endforeach()
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${page}")
file(WRITE ${OUTPUT} "#include \"view/page.h\"\nconst char page_template[] = {\n${bytes}0};\n")
