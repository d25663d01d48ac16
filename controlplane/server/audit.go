package server

import (
	"context"
	"net/http"
	"time"

	"github.com/gabion-io/gabion/controlplane/store"
)

// AuditList is a part of the audit log, newest first. Next goes on with it.
type AuditList struct {
	Items []store.AuditEntry `json:"items"`
	Next  int64              `json:"next,omitempty" doc:"give it as before to read on; absent at the end"`
}

func (a *api) auditOperations() {
	route(a, operation{id: "list-audit", method: http.MethodGet, path: "/audit", tag: "audit", role: store.RoleViewer,
		summary: "Read the audit log, newest first"}, a.listAudit)
	route(a, operation{id: "verify-audit", method: http.MethodGet, path: "/audit/verify", tag: "audit", role: store.RoleViewer, long: true,
		summary: "Recompute the audit log's hash chain"}, a.verifyAudit)
}

type auditInput struct {
	Since    time.Time `query:"since"`
	Until    time.Time `query:"until"`
	Author   string    `query:"author" maxLength:"1024" doc:"a token's name, or a file"`
	Resource string    `query:"resource" maxLength:"600" doc:"KIND namespace/name, a token's name or a proposal's id"`
	Before   int64     `query:"before" minimum:"0"`
	Limit    int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

func (a *api) listAudit(ctx context.Context, in *auditInput) (*bodyOf[AuditList], error) {
	entries, err := a.Store.AuditLog(ctx, store.AuditQuery{
		Since: in.Since, Until: in.Until, Author: in.Author, Resource: in.Resource, Before: in.Before, Limit: in.Limit,
	})
	list := AuditList{Items: orEmpty(entries)}
	if len(entries) == in.Limit {
		list.Next = entries[len(entries)-1].Seq
	}
	return &bodyOf[AuditList]{list}, err
}

func (a *api) verifyAudit(ctx context.Context, _ *struct{}) (*bodyOf[store.AuditVerdict], error) {
	verdict, err := a.Store.VerifyAudit(ctx)
	return &bodyOf[store.AuditVerdict]{verdict}, err
}
