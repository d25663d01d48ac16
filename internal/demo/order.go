package demo

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"
)

// orderIn is what a customer sends.
type orderIn struct {
	Account  string `json:"account"`
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
	Note     string `json:"note"`
}

// problem says what is wrong with it, or nothing.
func (in orderIn) problem(s *shop) string {
	if _, ok := s.account(in.Account); !ok {
		return fmt.Sprintf("there is no account %q", in.Account)
	}
	if !s.sells(in.SKU) {
		return fmt.Sprintf("there is no product %q", in.SKU)
	}
	if in.Quantity < 1 || in.Quantity > 99 {
		return "quantity is 1 to 99"
	}
	if utf8.RuneCountInString(in.Note) > 500 {
		return "note has at most 500 characters"
	}
	return ""
}

// order is the order it stands for, placed now.
func (in orderIn) order(now time.Time) order {
	return order{Account: in.Account, SKU: in.SKU, Quantity: in.Quantity, Note: in.Note, Placed: now.UTC().Truncate(time.Second)}
}

func (a *app) listOrders(w http.ResponseWriter, r *http.Request) {
	all := a.shop.ordersOf(r.URL.Query().Get("account"))
	if from, to, ok := page(w, r, len(all)); ok {
		answer(w, http.StatusOK, map[string]any{"total": len(all), "orders": all[from:to]})
	}
}

func (a *app) createOrder(w http.ResponseWriter, r *http.Request) {
	in, ok := a.readOrder(w, r)
	if !ok {
		return
	}
	placed := a.shop.place(in.order(a.now()))
	w.Header().Set("Location", fmt.Sprintf("/orders/%d", placed.ID))
	answer(w, http.StatusCreated, placed)
}

func (a *app) getOrder(w http.ResponseWriter, r *http.Request) {
	a.withOrder(w, r, func(o order) *order { return &o })
}

func (a *app) replaceOrder(w http.ResponseWriter, r *http.Request) {
	in, ok := a.readOrder(w, r)
	if !ok {
		return
	}
	a.withOrder(w, r, func(o order) *order {
		next := in.order(o.Placed)
		next.ID = o.ID
		return &next
	})
}

func (a *app) deleteOrder(w http.ResponseWriter, r *http.Request) {
	a.withOrder(w, r, func(order) *order { return nil })
}

func (a *app) readOrder(w http.ResponseWriter, r *http.Request) (orderIn, bool) {
	var in orderIn
	if !decode(w, r, &in) {
		return in, false
	}
	if problem := in.problem(a.shop); problem != "" {
		refuse(w, http.StatusUnprocessableEntity, problem)
		return in, false
	}
	return in, true
}

// withOrder changes the order of the path and answers with it.
func (a *app) withOrder(w http.ResponseWriter, r *http.Request, change func(order) *order) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("an order's id is a number, not %q", r.PathValue("id")))
		return
	}
	o, ok := a.shop.changeOrder(id, change)
	if !ok {
		refuse(w, http.StatusNotFound, fmt.Sprintf("there is no order %d", id))
		return
	}
	if r.Method == http.MethodDelete {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	answer(w, http.StatusOK, o)
}
