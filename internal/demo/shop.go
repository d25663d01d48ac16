package demo

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"
)

// Bounds of what visitors may add; the oldest go first.
const (
	maxOrders  = 1000
	maxReviews = 1000
)

// account is a customer with the personal data that has no business in a log.
type account struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Email   string `json:"email"`
	Phone   string `json:"phone"`
	IBAN    string `json:"iban"`
	Born    string `json:"born"`
	Street  string `json:"street"`
	City    string `json:"city"`
	Balance int    `json:"balance"` // cents
}

type product struct {
	SKU   string `json:"sku"`
	Name  string `json:"name"`
	About string `json:"about"`
	Price int    `json:"price"` // cents
}

type order struct {
	ID       int       `json:"id"`
	Account  string    `json:"account"`
	SKU      string    `json:"sku"`
	Quantity int       `json:"quantity"`
	Note     string    `json:"note,omitempty"` // to the driver, in the customer's words
	Placed   time.Time `json:"placed"`
}

type review struct {
	SKU   string `json:"sku"`
	Stars int    `json:"stars"`
	Text  string `json:"text"`
}

// shop is the data: the same after every start, changed only by requests.
type shop struct {
	accountIDs []string
	products   []product

	mu       sync.RWMutex
	accounts map[string]account
	orders   []order // by ascending id
	lastID   int
	reviews  []review
}

func newShop() *shop {
	s := &shop{products: catalogue(), accounts: map[string]account{}}
	for i := range 40 {
		a := makeAccount(i)
		s.accountIDs = append(s.accountIDs, a.ID)
		s.accounts[a.ID] = a
	}
	opened := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	for i := range 120 {
		s.place(order{
			Account: s.accountIDs[i*7%len(s.accountIDs)], SKU: s.products[i*5%len(s.products)].SKU,
			Quantity: 1 + i%4, Placed: opened.Add(time.Duration(i) * 7 * time.Hour),
		})
	}
	s.reviews = []review{
		{"rope-12", 5, "Held through the whole winter. Would moor with it again."},
		{"tea-breton", 4, "Smoky, as promised; the tin arrived dented."},
		{"pump-bilge", 2, "Loud. Works."},
	}
	return s
}

func makeAccount(i int) account {
	given := []string{"Ada", "Bjarne", "Chidi", "Dagny", "Emre", "Fenna", "Goran", "Hana"}
	family := []string{"Ahlgren", "Baumann", "Castellano", "Dvořák", "Eriksen", "O'Brien"}
	streets := []string{"Quay", "Lantern Row", "Netmakers' Lane", "Mole Road", "Pilot Street"}
	cities := []string{"Emden", "Bergen", "Galway", "Piran"}
	first, last := given[i%len(given)], family[i%len(family)]
	mail := strings.ToLower(first) + "." + strings.NewReplacer("ř", "r", "á", "a", "'", "").Replace(strings.ToLower(last))
	return account{
		ID: fmt.Sprintf("ac-%04d", 1001+i), Name: first + " " + last,
		Email: fmt.Sprintf("%s%d@harbour.example", mail, i), Phone: fmt.Sprintf("+49 4921 55501%02d", i),
		IBAN: germanIBAN(fmt.Sprintf("37040044%010d", 532013000+i*37)), Born: fmt.Sprintf("%d-%02d-%02d", 1950+i, 1+i%12, 1+i*3%28),
		Street: fmt.Sprintf("%d %s", 1+i, streets[i%len(streets)]), City: cities[i%len(cities)], Balance: 12_500 + i*7_919,
	}
}

// germanIBAN puts the check digits before a bank code and account number
// (ISO 13616: D and E count as 13 and 14).
func germanIBAN(bban string) string {
	n, _ := new(big.Int).SetString(bban+"131400", 10)
	check := 98 - new(big.Int).Mod(n, big.NewInt(97)).Int64()
	return fmt.Sprintf("DE%02d%s", check, bban)
}

func catalogue() []product {
	return []product{
		{"rope-12", "Mooring rope, 12 mm", "Twenty metres of polyester, spliced eye", 4_900},
		{"anchor-10", "Plough anchor, 10 kg", "Galvanised, holds in sand and mud", 18_900},
		{"pump-bilge", "Bilge pump", "Hand pump, 45 litres a minute", 7_450},
		{"oil-teak", "Teak oil", "One litre, for decks and tables", 2_390},
		{"lamp-deck", "Deck lamp", "Storm lantern, brass", 6_800},
		{"chart-north", "North Sea chart", "Paper, corrected to the week", 3_100},
		{"tea-breton", "Harbour tea", "Smoked black tea, 250 g tin", 1_250},
		{"coat-oil", "Oilskin coat", "The yellow one", 15_900},
		{"knife-rig", "Rigging knife", "With marlinspike", 5_600},
		{"horn-fog", "Fog horn", "Mouth-blown, heard for half a mile", 1_990},
		{"table-fold", "Folding table", "Teak table for the cockpit", 22_000},
		{"flag-set", "Signal flags", "All forty, cotton", 8_700},
	}
}

func (s *shop) account(id string) (account, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a, ok := s.accounts[id]
	return a, ok
}

// allAccounts lists the accounts by id.
func (s *shop) allAccounts() []account {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]account, 0, len(s.accountIDs))
	for _, id := range s.accountIDs {
		all = append(all, s.accounts[id])
	}
	return all
}

// changeAccount applies a change to one account and returns the result.
func (s *shop) changeAccount(id string, change func(*account)) (account, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.accounts[id]
	if ok {
		change(&a)
		s.accounts[id] = a
	}
	return a, ok
}

// place gives an order its id and keeps it.
func (s *shop) place(o order) order {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastID++
	o.ID = s.lastID
	if len(s.orders) >= maxOrders {
		s.orders = slices.Delete(s.orders, 0, 1)
	}
	s.orders = append(s.orders, o)
	return o
}

func (s *shop) ordersOf(account string) []order {
	s.mu.RLock()
	defer s.mu.RUnlock()
	found := []order{}
	for _, o := range s.orders {
		if account == "" || o.Account == account {
			found = append(found, o)
		}
	}
	return found
}

// changeOrder replaces an order (with the result of change) or deletes it (nil).
func (s *shop) changeOrder(id int, change func(order) *order) (order, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.orders, func(o order) bool { return o.ID == id })
	if i < 0 {
		return order{}, false
	}
	o := s.orders[i]
	if next := change(o); next != nil {
		s.orders[i] = *next
		return *next, true
	}
	s.orders = slices.Delete(s.orders, i, i+1)
	return o, true
}

func (s *shop) sells(sku string) bool {
	return slices.ContainsFunc(s.products, func(p product) bool { return p.SKU == sku })
}

// find lists the products with any of the words in their name or description.
func (s *shop) find(q string) []product {
	found := []product{}
	for _, p := range s.products {
		text := strings.ToLower(p.Name + " " + p.About)
		if slices.ContainsFunc(strings.Fields(strings.ToLower(q)), func(w string) bool { return strings.Contains(text, w) }) {
			found = append(found, p)
		}
	}
	return found
}

func (s *shop) addReview(r review) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.reviews) >= maxReviews {
		s.reviews = slices.Delete(s.reviews, 0, 1)
	}
	s.reviews = append(s.reviews, r)
}

func (s *shop) reviewsOf(sku string) []review {
	s.mu.RLock()
	defer s.mu.RUnlock()
	found := []review{}
	for _, r := range s.reviews {
		if sku == "" || r.SKU == sku {
			found = append(found, r)
		}
	}
	return found
}
