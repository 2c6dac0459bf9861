"""A compiled model as a folder that the tool of your choice opens: files by their paths."""

from __future__ import annotations

from collections.abc import Callable

from firmware.compiler.compile import Compiled
from firmware.qemu import CORE
from firmware.selftest import kernel_sources
from tflite_models.graph import Graph

Files = dict[str, str]

# the schema's names that tflite::MicroMutableOpResolver writes otherwise
_RESOLVER = {
    "CONV_2D": "Conv2D",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2D",
    "AVERAGE_POOL_2D": "AveragePool2D",
    "MAX_POOL_2D": "MaxPool2D",
    "PADV2": "PadV2",
    "RELU6": "Relu6",
}


def sources(compiled: Compiled) -> Files:
    """The model and its kernels under one root, which is also the only include path."""
    files = dict(compiled.files)
    for header in sorted((CORE / "include/microfed").glob("*.h")):
        if header.stem in {"int8", "layers", "shape", "status", "export", "slot"}:
            files[f"microfed/{header.name}"] = header.read_text()
    for source in kernel_sources():
        folder = source.parent
        for path in (source, *sorted(folder.glob("*.h"))):
            if not path.name.startswith("x86"):
                files[f"{folder.name}/{path.name}"] = path.read_text()
    return files


def arduino(compiled: Compiled) -> Files:
    """An Arduino library: `arduino-cli lib install --zip-path`, or a folder in libraries/."""
    name = compiled.name
    sketch = f"examples/{name}_minimal/{name}_minimal.ino"
    return {
        **_under("src", sources(compiled)),
        f"src/{name}.h": '#pragma once\n#include "model.h"\n',
        "library.properties": (
            f"name={name}\nversion=1.0.0\nauthor=microfed\nmaintainer=microfed\n"
            f"sentence={name}, compiled to C99.\nparagraph=int8 inference without an interpreter.\n"
            "category=Data Processing\nurl=https://example.org\narchitectures=*\n"
            f"includes={name}.h\n"
        ),
        sketch: f"""#include <{name}.h>

void setup() {{
    Serial.begin(115200);
}}

void loop() {{
    {_fill(compiled)}
    {name}_run();
    Serial.println({name}_output()[0]);
    delay(1000);
}}
""",
    }


def platformio(compiled: Compiled) -> Files:
    """A PlatformIO library: a folder in lib/."""
    name = compiled.name
    return {
        **_under("src", sources(compiled)),
        "library.json": (
            f'{{\n  "name": "{name}",\n  "version": "1.0.0",\n'
            '  "build": {"includeDir": "src", "flags": ["-O2"]}\n}\n'
        ),
        "examples/minimal/main.c": _main(compiled),
    }


def zephyr(compiled: Compiled) -> Files:
    """A Zephyr module: name its folder in ZEPHYR_EXTRA_MODULES."""
    name, option = compiled.name, f"CONFIG_{compiled.name.upper()}"
    listed = "\n".join(f"    src/{path}" for path in _c_files(compiled))
    return {
        **_under("src", sources(compiled)),
        "zephyr/module.yml": f"name: {name}\nbuild:\n  cmake: .\n  kconfig: Kconfig\n",
        "Kconfig": f'config {name.upper()}\n\tbool "{name}, compiled to C99"\n\tdefault y\n',
        "CMakeLists.txt": (
            f"if({option})\n  zephyr_include_directories(src)\n  zephyr_library()\n"
            f"  zephyr_library_sources(\n{listed})\nendif()\n"
        ),
        "samples/minimal/CMakeLists.txt": (
            "cmake_minimum_required(VERSION 3.20.0)\n"
            "list(APPEND ZEPHYR_EXTRA_MODULES ${CMAKE_CURRENT_SOURCE_DIR}/../..)\n"
            "find_package(Zephyr REQUIRED HINTS $ENV{ZEPHYR_BASE})\n"
            f"project({name}_minimal C)\ntarget_sources(app PRIVATE main.c)\n"
        ),
        "samples/minimal/prj.conf": f"{option}=y\n",
        "samples/minimal/main.c": _main(compiled),
    }


def esp_idf(compiled: Compiled) -> Files:
    """An ESP-IDF component: a folder in components/."""
    name = compiled.name
    listed = " ".join(f'"src/{path}"' for path in _c_files(compiled))
    return {
        **_under("src", sources(compiled)),
        "CMakeLists.txt": f'idf_component_register(SRCS {listed} INCLUDE_DIRS "src")\n',
        "idf_component.yml": f'version: "1.0.0"\ndescription: {name}, compiled to C99\n',
        "examples/minimal/CMakeLists.txt": (
            "cmake_minimum_required(VERSION 3.16)\n"
            f'set(EXTRA_COMPONENT_DIRS "../..")\n'
            "include($ENV{IDF_PATH}/tools/cmake/project.cmake)\n"
            f"project({name}_minimal)\n"
        ),
        "examples/minimal/main/CMakeLists.txt": 'idf_component_register(SRCS "main.c")\n',
        "examples/minimal/main/main.c": _main(compiled, entry="void app_main(void)", ends=False),
    }


def cmake(compiled: Compiled) -> Files:
    """A CMake library and a program that uses it."""
    name = compiled.name
    listed = "\n".join(f"    src/{path}" for path in _c_files(compiled))
    return {
        **_under("src", sources(compiled)),
        "CMakeLists.txt": (
            f"cmake_minimum_required(VERSION 3.16)\nproject({name} C)\n"
            f"set(CMAKE_C_STANDARD 99)\nadd_library({name} STATIC\n{listed})\n"
            f"target_include_directories({name} PUBLIC src)\n"
            f"add_executable({name}_minimal examples/minimal/main.c)\n"
            f"target_link_libraries({name}_minimal {name})\n"
        ),
        "examples/minimal/main.c": _main(compiled),
    }


EXPORTS: dict[str, Callable[[Compiled], Files]] = {
    "arduino": arduino,
    "platformio": platformio,
    "zephyr": zephyr,
    "esp-idf": esp_idf,
    "cmake": cmake,
}


def model_data(file: bytes, graph: Graph, name: str) -> Files:
    """The file as an array, and the resolver that TensorFlow Lite Micro needs for it."""
    lines = [", ".join(f"0x{b:02x}" for b in file[i : i + 12]) for i in range(0, len(file), 12)]
    body = "".join(f"    {line},\n" for line in lines)
    operators = sorted({operator.name for operator in graph.operators})
    adds = "".join(f"    resolver.Add{_resolver_name(o)}();\n" for o in operators)
    return {
        "model_data.h": (
            "#pragma once\n\n"
            f"extern const unsigned char {name}_data[];\nextern const unsigned {name}_data_size;\n"
        ),
        "model_data.cc": (
            '#include "model_data.h"\n\n'
            f"alignas(16) const unsigned char {name}_data[] = {{\n{body}}};\n"
            f"const unsigned {name}_data_size = sizeof {name}_data;\n"
        ),
        "op_resolver.h": (
            '#pragma once\n\n#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"\n\n'
            f"using {name}_resolver = tflite::MicroMutableOpResolver<{len(operators)}>;\n\n"
            f"inline void {name}_add_operators({name}_resolver &resolver) {{\n{adds}}}\n"
        ),
    }


def _resolver_name(operator: str) -> str:
    if operator in _RESOLVER:
        return _RESOLVER[operator]
    return "".join(word.capitalize() for word in operator.split("_"))


def _under(folder: str, files: Files) -> Files:
    return {f"{folder}/{path}": text for path, text in files.items()}


def _c_files(compiled: Compiled) -> list[str]:
    return [path for path in sources(compiled) if path.endswith(".c")]


def _fill(compiled: Compiled) -> str:
    name = compiled.name
    return f"for (int i = 0; i < {name.upper()}_INPUTS; i++) {name}_input()[i] = 0;"


def _main(compiled: Compiled, *, entry: str = "int main(void)", ends: bool = True) -> str:
    name = compiled.name
    result = f"    return {name}_output()[0] < 0;\n" if ends else f"    (void){name}_output();\n"
    return f"""#include "model.h"

{entry} {{
    {_fill(compiled)}
    {name}_run();
{result}}}
"""
