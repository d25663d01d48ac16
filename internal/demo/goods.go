package demo

import (
	"fmt"
	"net/http"
	"strconv"
	"unicode/utf8"
)

func (a *app) listProducts(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"total": len(a.shop.products), "products": a.shop.products})
}

func (a *app) search(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query().Get("q")
	if n := utf8.RuneCountInString(q); n == 0 || n > 500 {
		refuse(w, http.StatusBadRequest, "q has 1 to 500 characters")
		return
	}
	found := a.shop.find(q)
	answer(w, http.StatusOK, map[string]any{"total": len(found), "products": found})
}

func (a *app) listReviews(w http.ResponseWriter, r *http.Request) {
	all := a.shop.reviewsOf(r.URL.Query().Get("sku"))
	if from, to, ok := page(w, r, len(all)); ok {
		answer(w, http.StatusOK, map[string]any{"total": len(all), "reviews": all[from:to]})
	}
}

// createReview takes JSON, and the form of the shop's own page.
func (a *app) createReview(w http.ResponseWriter, r *http.Request) {
	var in review
	if mediaType(r) == "application/x-www-form-urlencoded" {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if err := r.ParseForm(); err != nil {
			refuseBody(w, err)
			return
		}
		stars, _ := strconv.Atoi(r.PostForm.Get("stars"))
		in = review{SKU: r.PostForm.Get("sku"), Stars: stars, Text: r.PostForm.Get("text")}
	} else if !decode(w, r, &in) {
		return
	}
	switch n := utf8.RuneCountInString(in.Text); {
	case !a.shop.sells(in.SKU):
		refuse(w, http.StatusUnprocessableEntity, fmt.Sprintf("there is no product %q", in.SKU))
	case in.Stars < 1 || in.Stars > 5:
		refuse(w, http.StatusUnprocessableEntity, "stars is 1 to 5")
	case n == 0 || n > 2000:
		refuse(w, http.StatusUnprocessableEntity, "text has 1 to 2000 characters")
	default:
		a.shop.addReview(in)
		answer(w, http.StatusCreated, in)
	}
}
