// Package cyclonus compares gabion's reading of Kubernetes' NetworkPolicy with a
// foreign one: every case that cyclonus generates, judged by its matcher and by
// segmentation.Evaluate. It is a module of its own because cyclonus needs
// client-go, which nothing of gabion should come to need by a test.
package cyclonus
