package ingest

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	received   *prometheus.CounterVec // by way: accesslog, spool, recording
	stored     *prometheus.CounterVec // by kind: event, exchange
	duplicates prometheus.Counter
	lost       *prometheus.CounterVec // by kind: entry, event, spooled event, recording
	garbage    *prometheus.CounterVec // by kind
	streams    prometheus.Gauge
	seconds    prometheus.Histogram
}

// newMetrics makes them, and registers them when there is a registry.
func newMetrics(r prometheus.Registerer, queued func() float64) *metrics {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "gabion", Subsystem: "ingest", Name: name, Help: help}
	}
	counter := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts(opts(name, help)), []string{label})
	}
	m := &metrics{
		received:   counter("received_total", "Access log entries, spooled events and recorded batches received.", "way"),
		stored:     counter("stored_total", "Events and exchanges handed to the store.", "kind"),
		duplicates: prometheus.NewCounter(prometheus.CounterOpts(opts("duplicates_total", "Access log entries received before."))),
		lost:       counter("lost_total", "Telemetry known to be lost.", "kind"),
		garbage:    counter("garbage_total", "Telemetry that could not be read.", "kind"),
		streams:    prometheus.NewGauge(prometheus.GaugeOpts(opts("streams", "Access log streams open."))),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "gabion", Subsystem: "ingest", Name: "write_seconds",
			Help: "Time to store one batch.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 8)}),
	}
	if r != nil {
		waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts("queued", "Access log entries waiting.")), queued)
		r.MustRegister(m.received, m.stored, m.duplicates, m.lost, m.garbage, m.streams, m.seconds, waiting)
	}
	return m
}
