package demo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"unicode/utf8"

	"github.com/graph-gophers/graphql-go"
)

const graphQLSchema = `
schema { query: Query mutation: Mutation }
type Query {
  account(id: ID!): Account
  accounts(first: Int = 10): [Account!]!
  products: [Product!]!
  search(q: String!): [Product!]!
  orders(account: ID): [Order!]!
}
type Mutation {
  placeOrder(account: ID!, sku: String!, quantity: Int!, note: String = ""): Order!
}
type Account { id: ID! name: String! email: String! city: String! orders: [Order!]! }
type Product { sku: String! name: String! about: String! price: Int! }
type Order { id: ID! quantity: Int! note: String! account: Account! product: Product! }
`

// graphQL answers POST with a JSON body, and GET with ?query. Like many servers
// it does not insist that a GET changes nothing.
func (a *app) graphQL() http.HandlerFunc {
	schema := graphql.MustParseSchema(graphQLSchema, &graphQLRoot{a},
		graphql.MaxDepth(8), graphql.MaxQueryLength(16<<10), graphql.MaxParallelism(4))
	return func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Query         string         `json:"query"`
			OperationName string         `json:"operationName"`
			Variables     map[string]any `json:"variables"`
		}
		if r.Method == http.MethodGet {
			in.Query = r.URL.Query().Get("query")
			in.OperationName = r.URL.Query().Get("operationName")
			if text := r.URL.Query().Get("variables"); text != "" {
				if err := json.Unmarshal([]byte(text), &in.Variables); err != nil {
					refuse(w, http.StatusBadRequest, "variables: "+err.Error())
					return
				}
			}
		} else if !decode(w, r, &in) {
			return
		}
		if in.Query == "" {
			refuse(w, http.StatusBadRequest, "query is empty")
			return
		}
		answer(w, http.StatusOK, schema.Exec(r.Context(), in.Query, in.OperationName, in.Variables))
	}
}

type graphQLRoot struct{ app *app }

func (q *graphQLRoot) Account(in struct{ ID graphql.ID }) *graphQLAccount {
	acc, ok := q.app.shop.account(string(in.ID))
	if !ok {
		return nil
	}
	return &graphQLAccount{q.app.shop, acc}
}

func (q *graphQLRoot) Accounts(in struct{ First int32 }) ([]*graphQLAccount, error) {
	if in.First < 0 || in.First > 100 {
		return nil, fmt.Errorf("first is 0 to 100")
	}
	all := []*graphQLAccount{}
	for _, acc := range q.app.shop.allAccounts() {
		if len(all) < int(in.First) {
			all = append(all, &graphQLAccount{q.app.shop, acc})
		}
	}
	return all, nil
}

func (q *graphQLRoot) Products() []*graphQLProduct { return graphQLProducts(q.app.shop.products) }

func (q *graphQLRoot) Search(in struct{ Q string }) ([]*graphQLProduct, error) {
	if utf8.RuneCountInString(in.Q) > 500 {
		return nil, fmt.Errorf("q has at most 500 characters")
	}
	return graphQLProducts(q.app.shop.find(in.Q)), nil
}

func (q *graphQLRoot) Orders(in struct{ Account *graphql.ID }) []*graphQLOrder {
	id := ""
	if in.Account != nil {
		id = string(*in.Account)
	}
	return graphQLOrders(q.app.shop, q.app.shop.ordersOf(id))
}

func (q *graphQLRoot) PlaceOrder(in struct {
	Account  graphql.ID
	SKU      string
	Quantity int32
	Note     string
}) (*graphQLOrder, error) {
	o := orderIn{Account: string(in.Account), SKU: in.SKU, Quantity: int(in.Quantity), Note: in.Note}
	if problem := o.problem(q.app.shop); problem != "" {
		return nil, fmt.Errorf("%s", problem)
	}
	return &graphQLOrder{q.app.shop, q.app.shop.place(o.order(q.app.now()))}, nil
}

type graphQLAccount struct {
	shop *shop
	a    account
}

func (a *graphQLAccount) ID() graphql.ID { return graphql.ID(a.a.ID) }
func (a *graphQLAccount) Name() string   { return a.a.Name }
func (a *graphQLAccount) Email() string  { return a.a.Email }
func (a *graphQLAccount) City() string   { return a.a.City }
func (a *graphQLAccount) Orders() []*graphQLOrder {
	return graphQLOrders(a.shop, a.shop.ordersOf(a.a.ID))
}

type graphQLProduct struct{ p product }

func (p *graphQLProduct) SKU() string   { return p.p.SKU }
func (p *graphQLProduct) Name() string  { return p.p.Name }
func (p *graphQLProduct) About() string { return p.p.About }
func (p *graphQLProduct) Price() int32  { return int32(p.p.Price) }

type graphQLOrder struct {
	shop *shop
	o    order
}

func (o *graphQLOrder) ID() graphql.ID  { return graphql.ID(fmt.Sprint(o.o.ID)) }
func (o *graphQLOrder) Quantity() int32 { return int32(o.o.Quantity) }
func (o *graphQLOrder) Note() string    { return o.o.Note }

func (o *graphQLOrder) Account() *graphQLAccount {
	acc, _ := o.shop.account(o.o.Account)
	return &graphQLAccount{o.shop, acc}
}

func (o *graphQLOrder) Product() *graphQLProduct {
	for _, p := range o.shop.products {
		if p.SKU == o.o.SKU {
			return &graphQLProduct{p}
		}
	}
	return &graphQLProduct{}
}

func graphQLProducts(all []product) []*graphQLProduct {
	out := make([]*graphQLProduct, 0, len(all))
	for _, p := range all {
		out = append(out, &graphQLProduct{p})
	}
	return out
}

func graphQLOrders(s *shop, all []order) []*graphQLOrder {
	out := make([]*graphQLOrder, 0, len(all))
	for _, o := range all {
		out = append(out, &graphQLOrder{s, o})
	}
	return out
}
