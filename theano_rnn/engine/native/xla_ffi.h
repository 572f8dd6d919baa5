// The part of XLA's C interface for custom calls (xla/ffi/api/c_api.h, API 0.1) that window.cc uses. It is declared here
// because JAX, whose package holds that header, need not be installed where this is compiled. Newer versions only add
// fields at the ends of these structures.
#pragma once
#include <cstddef>
#include <cstdint>

extern "C" {
struct XLA_FFI_Extension_Base {
  size_t struct_size;
  int type;  // 1: a question for the metadata
  XLA_FFI_Extension_Base* next;
};
struct XLA_FFI_Api_Version {
  size_t struct_size;
  XLA_FFI_Extension_Base* extension_start;
  int major_version, minor_version;
};
struct XLA_FFI_Metadata {
  size_t struct_size;
  XLA_FFI_Api_Version api_version;
  uint32_t traits;
  int64_t state_type_id;  // since API 0.2
};
struct XLA_FFI_Metadata_Extension {
  XLA_FFI_Extension_Base extension_base;
  XLA_FFI_Metadata* metadata;
};
struct XLA_FFI_Error;
struct XLA_FFI_ExecutionContext;
struct XLA_FFI_Error_Create_Args {
  size_t struct_size;
  XLA_FFI_Extension_Base* extension_start;
  const char* message;
  int errc;
};
struct XLA_FFI_Error_Destroy_Args {
  size_t struct_size;
  XLA_FFI_Extension_Base* extension_start;
  XLA_FFI_Error* error;
};
struct XLA_FFI_ThreadPool_Schedule_Args {
  size_t struct_size;
  XLA_FFI_Extension_Base* extension_start;
  XLA_FFI_ExecutionContext* ctx;
  void (*task)(void*);
  void* data;
};
struct XLA_FFI_ThreadPool_NumThreads_Args {
  size_t struct_size;
  XLA_FFI_Extension_Base* extension_start;
  XLA_FFI_ExecutionContext* ctx;
  int64_t* num_threads;
};
struct XLA_FFI_Api {
  size_t struct_size;
  XLA_FFI_Extension_Base* extension_start;
  XLA_FFI_Api_Version api_version;
  void* internal_api;
  XLA_FFI_Error* (*error_create)(XLA_FFI_Error_Create_Args*);
  void* error_get_message;
  void (*error_destroy)(XLA_FFI_Error_Destroy_Args*);
  void *handler_register, *stream_get, *type_register, *context_get, *state_set, *state_get, *allocate, *free;
  XLA_FFI_Error* (*schedule)(XLA_FFI_ThreadPool_Schedule_Args*);
  XLA_FFI_Error* (*num_threads)(XLA_FFI_ThreadPool_NumThreads_Args*);
};
struct XLA_FFI_Buffer {
  size_t struct_size;
  XLA_FFI_Extension_Base* extension_start;
  int dtype;
  void* data;
  int64_t rank;
  int64_t* dims;
};
struct XLA_FFI_Scalar {
  int dtype;
  void* value;
};
struct XLA_FFI_ByteSpan {
  const char* data;
  size_t size;
};
struct XLA_FFI_Buffers {  // XLA_FFI_Args and XLA_FFI_Rets
  size_t struct_size;
  XLA_FFI_Extension_Base* extension_start;
  int64_t size;
  int* types;
  void** buffers;
};
struct XLA_FFI_Attrs {
  size_t struct_size;
  XLA_FFI_Extension_Base* extension_start;
  int64_t size;
  int* types;
  void** names;
  void** attrs;
};
struct XLA_FFI_CallFrame {
  size_t struct_size;
  XLA_FFI_Extension_Base* extension_start;
  const XLA_FFI_Api* api;
  XLA_FFI_ExecutionContext* ctx;
  int stage;
  XLA_FFI_Buffers args, rets;
  XLA_FFI_Attrs attrs;
};
}

constexpr int FFI_METADATA = 1, FFI_INT32 = 4, FFI_FLOAT32 = 11, FFI_INVALID_ARGUMENT = 3;
