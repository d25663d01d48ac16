//go:build cgo

// Envoy refuses a module that lacks one of these hooks. We make no calls of our
// own and watch no watermarks, so most of them are never due, and none has
// anything to do. Their arguments are left out: the caller owns them.

#define NOTHING_TO_DO(hook) \
  void envoy_dynamic_module_on_http_filter_##hook(void) {}

NOTHING_TO_DO(http_callout_done)
NOTHING_TO_DO(http_stream_headers)
NOTHING_TO_DO(http_stream_data)
NOTHING_TO_DO(http_stream_trailers)
NOTHING_TO_DO(http_stream_complete)
NOTHING_TO_DO(http_stream_reset)
NOTHING_TO_DO(downstream_above_write_buffer_high_watermark)
NOTHING_TO_DO(downstream_below_write_buffer_low_watermark)
NOTHING_TO_DO(config_scheduled)
NOTHING_TO_DO(config_http_callout_done)
NOTHING_TO_DO(config_http_stream_headers)
NOTHING_TO_DO(config_http_stream_data)
NOTHING_TO_DO(config_http_stream_trailers)
NOTHING_TO_DO(config_http_stream_complete)
NOTHING_TO_DO(config_http_stream_reset)

// A reply that Envoy makes itself: send it. Our response hooks see it too.
int envoy_dynamic_module_on_http_filter_local_reply(void) { return 0; }
