// What is read of XLA's foreign function interface, version 0: its C structures with our names; see xla.cpp.
#pragma once

#include <cstddef>
#include <cstdint>

namespace crossent::xla {

struct Error;
constexpr int metadata_extension = 1, execute = 3, invalid_argument = 3, resource_exhausted = 8;

struct Extension {
  size_t size;
  int type;
  Extension* next;
};

struct Version {
  size_t size;
  Extension* extension;
  int major, minor;
};

struct Metadata {
  size_t size;
  Version version;
  uint32_t traits;
};

struct MetadataExtension {
  Extension base;
  Metadata* metadata;
};

struct ErrorCreateArgs {
  size_t size;
  Extension* extension;
  const char* message;
  int code;
};

struct Api {
  size_t size;
  Extension* extension;
  Version version;
  const void* internal;
  Error* (*create_error)(ErrorCreateArgs*);
};

struct Buffer {
  size_t size;
  Extension* extension;
  int dtype;
  void* data;
  int64_t rank;
  int64_t* dims;
};

struct Buffers {  // arguments or results
  size_t size_of_this;
  Extension* extension;
  int64_t size;
  int* types;
  void** buffers;
};

struct CallFrame {
  size_t size;
  Extension* extension;
  const Api* api;
  void* context;
  int stage;
  Buffers args, results;
};

Error* losses(CallFrame*);

}  // namespace crossent::xla
