package demo

import (
	"encoding/csv"
	"net/http"
	"strings"
	"unicode/utf8"
)

func (a *app) me(w http.ResponseWriter, r *http.Request) {
	c := caller(r)
	answer(w, http.StatusOK, map[string]any{"username": c.Subject, "account": c.Account, "clerk": c.Clerk})
}

func (a *app) listAccounts(w http.ResponseWriter, r *http.Request) {
	all := []account{}
	for _, acc := range a.shop.allAccounts() {
		if caller(r).may(acc.ID) {
			all = append(all, acc)
		}
	}
	if from, to, ok := page(w, r, len(all)); ok {
		answer(w, http.StatusOK, map[string]any{"total": len(all), "accounts": all[from:to]})
	}
}

func (a *app) getAccount(w http.ResponseWriter, r *http.Request) {
	acc, ok := a.shop.account(r.PathValue("id"))
	if !ok || !caller(r).may(acc.ID) { // the same answer: ids are not for probing
		refuse(w, http.StatusNotFound, "there is no such account for you")
		return
	}
	answer(w, http.StatusOK, acc)
}

func (a *app) patchAccount(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !caller(r).may(id) {
		refuse(w, http.StatusNotFound, "there is no such account for you")
		return
	}
	var in struct{ Email, Phone, Street, City *string }
	if !decode(w, r, &in) {
		return
	}
	for _, v := range []*string{in.Email, in.Phone, in.Street, in.City} {
		if v != nil && (*v == "" || utf8.RuneCountInString(*v) > 100) {
			refuse(w, http.StatusUnprocessableEntity, "a field has 1 to 100 characters")
			return
		}
	}
	if in.Email != nil && !strings.Contains(*in.Email, "@") {
		refuse(w, http.StatusUnprocessableEntity, "email has no @")
		return
	}
	acc, ok := a.shop.changeAccount(id, func(acc *account) {
		set(&acc.Email, in.Email)
		set(&acc.Phone, in.Phone)
		set(&acc.Street, in.Street)
		set(&acc.City, in.City)
	})
	if !ok {
		refuse(w, http.StatusNotFound, "there is no such account for you")
		return
	}
	answer(w, http.StatusOK, acc)
}

func set(field *string, value *string) {
	if value != nil {
		*field = *value
	}
}

// oldAccount is the deprecated operation: it still answers, without a login.
func (a *app) oldAccount(w http.ResponseWriter, r *http.Request) {
	acc, ok := a.shop.account(r.PathValue("id"))
	if !ok {
		refuse(w, http.StatusNotFound, "there is no such account")
		return
	}
	w.Header().Set("Deprecation", "@1767225600") // RFC 9745: 2026-01-01
	w.Header().Set("Link", `</accounts/`+acc.ID+`>; rel="successor-version"`)
	answer(w, http.StatusOK, map[string]string{"id": acc.ID, "holder": acc.Name, "iban": acc.IBAN})
}

// export is the undocumented operation: somebody's report from long ago.
func (a *app) export(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	out := csv.NewWriter(w)
	_ = out.Write([]string{"id", "name", "email", "phone", "iban"})
	for _, acc := range a.shop.allAccounts() {
		_ = out.Write([]string{acc.ID, acc.Name, acc.Email, acc.Phone, acc.IBAN})
	}
	out.Flush()
}
