// What gabion uses of Envoy's dynamic module interface, version v0.2.0 (Envoy
// 1.40). Written for this package; layouts and numbers are those of the
// binary, and test/module holds them against the real one.
//
// Pointers to objects of either side are plain numbers here: neither side
// follows the other's.
#ifndef GABION_ABI_H
#define GABION_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uintptr_t gabion_envoy;   // an object of Envoy's
typedef uintptr_t gabion_module;  // an object of ours: a cgo.Handle or a stream's number, 0 for none

// Bytes; owned by Envoy when Envoy fills it in, by us when we pass it.
typedef struct {
  const char *ptr;
  size_t len;
} gabion_bytes;

typedef struct {
  const char *name;
  size_t name_len;
  const char *value;
  size_t value_len;
} gabion_header;

enum { gabion_request_headers = 0, gabion_response_headers = 2 };

enum {
  gabion_received_request = 0,
  gabion_buffered_request = 1,
  gabion_received_response = 2,
  gabion_buffered_response = 3,
};

enum { gabion_attr_protocol = 10, gabion_attr_source = 24, gabion_attr_destination = 26 };

// Answers of the hooks.
enum {
  gabion_headers_continue = 0,
  gabion_headers_stop = 1,
  gabion_headers_stop_all = 4,  // no body hooks either, the sender waits
  gabion_body_continue = 0,
  gabion_body_stop_and_buffer = 1,
  gabion_body_stop_and_watermark = 2,
  gabion_body_stop_no_buffer = 3,
  gabion_trailers_continue = 0,
  gabion_trailers_stop = 1,
};

void envoy_dynamic_module_callback_log(int level, gabion_bytes message);
bool envoy_dynamic_module_callback_log_enabled(int level);
bool envoy_dynamic_module_callback_is_validation_mode(void);

size_t envoy_dynamic_module_callback_http_get_headers_size(gabion_envoy filter, int which);
bool envoy_dynamic_module_callback_http_get_headers(gabion_envoy filter, int which, gabion_header *out);
size_t envoy_dynamic_module_callback_http_get_body_chunks_size(gabion_envoy filter, int which);
bool envoy_dynamic_module_callback_http_get_body_chunks(gabion_envoy filter, int which, gabion_bytes *out);
bool envoy_dynamic_module_callback_http_received_buffered_request_body(gabion_envoy filter);
bool envoy_dynamic_module_callback_http_received_buffered_response_body(gabion_envoy filter);
bool envoy_dynamic_module_callback_http_filter_get_attribute_string(gabion_envoy filter, int attribute, gabion_bytes *out);
gabion_module envoy_dynamic_module_callback_get_most_specific_route_config(gabion_envoy filter);
uint64_t envoy_dynamic_module_callback_http_get_buffer_limit(gabion_envoy filter);
void envoy_dynamic_module_callback_http_set_buffer_limit(gabion_envoy filter, uint64_t limit);
void envoy_dynamic_module_callback_http_set_dynamic_metadata_string(gabion_envoy filter, gabion_bytes ns, gabion_bytes key, gabion_bytes value);
void envoy_dynamic_module_callback_http_send_response(gabion_envoy filter, uint32_t status, gabion_header *headers, size_t count, gabion_bytes body, gabion_bytes details);
void envoy_dynamic_module_callback_http_filter_continue_decoding(gabion_envoy filter);
void envoy_dynamic_module_callback_http_filter_continue_encoding(gabion_envoy filter);
gabion_envoy envoy_dynamic_module_callback_http_filter_scheduler_new(gabion_envoy filter);
void envoy_dynamic_module_callback_http_filter_scheduler_commit(gabion_envoy scheduler, uint64_t event);
void envoy_dynamic_module_callback_http_filter_scheduler_delete(gabion_envoy scheduler);

#endif
