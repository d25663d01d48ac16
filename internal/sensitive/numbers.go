package sensitive

// numberKind is a kind that is written in digits alone.
type numberKind struct {
	kind  Kind
	match func(number) strength
}

// numbers are the kinds by how many digits they have; of equally likely ones
// the first is taken.
var numbers = [maxDigits + 1][]numberKind{
	8:  {{AUTFN, auTFN}},
	9:  {{USSSN, usSSN}, {USITIN, usITIN}, {CASIN, caSIN}, {AUTFN, auTFN}, {NLBSN, nlBSN}, {USRouting, usRouting}, {PTNIF, ptNIF}, {ILID, ilID}},
	10: {{CZRodneCislo, czRodneCislo}, {FIHetu, fiHetuDigits}, {SEPersonnummer, sePersonnummer}, {UKNHS, ukNHS}, {DKCPR, dkCPR}, {ATSVNR, atSVNR}, {AUMedicare, auMedicare}, {USNPI, usNPI}},
	11: {{BENationalNumber, beNationalNumber}, {NOFodselsnummer, noFodselsnummer}, {BRCPF, brCPF}, {ARCUIT, arCUIT}, {PLPESEL, plPESEL}, {DESteuerID, deSteuerID}, {TRTCKN, trTCKN}, {HROIB, hrOIB}, {AUMedicare, auMedicare}},
	12: {{INAadhaar, inAadhaar}, {SEPersonnummer, sePersonnummer}, {JPMyNumber, jpMyNumber}},
	13: {{CHAHV, chAHV}, {KRRRN, krRRN}, {ZAID, zaID}, {ROCNP, roCNP}, {PaymentCard, paymentCard}},
	14: {{BRCNPJ, brCNPJ}, {PaymentCard, paymentCard}},
	15: {{FRNIR, frNIR}, {PaymentCard, paymentCard}, {IMEI, imei}},
	16: {{PaymentCard, paymentCard}},
	17: {{PaymentCard, paymentCard}},
	18: {{CNResidentID, cnResidentDigits}, {PaymentCard, paymentCard}},
	19: {{PaymentCard, paymentCard}},
}

// graded is the strength where one way of writing is the kind's own.
func graded(ok, own bool, ownStrength, plain strength) strength {
	switch {
	case !ok:
		return no
	case own:
		return ownStrength
	}
	return plain
}

// paymentCard: ISO/IEC 7812, the issuers' ranges and lengths.
func paymentCard(n number) strength {
	d := n.digits()
	grouped := n.parted(0x4444) || n.parted(0x465) || n.parted(0x464)
	if !n.plain() && !grouped && !n.parted(0x44443) && !n.parted(0x44442) || same(d) || !luhn(d) {
		return no
	}
	major := false
	switch two, four := value(d[:2]), value(d[:4]); {
	case d[0] == 4: // Visa
		major = n.n == 16
		if n.n != 13 && n.n != 16 && n.n != 19 {
			return no
		}
	case two >= 51 && two <= 55, four >= 2221 && four <= 2720: // Mastercard
		if major = n.n == 16; !major {
			return no
		}
	case two == 34, two == 37: // American Express
		if major = n.n == 15; !major {
			return no
		}
	case four == 6011, two == 65, two == 64 && d[2] >= 4: // Discover
		major = n.n == 16
	case two == 36, two == 38, two == 39, four >= 3000 && four <= 3059: // Diners
		major = n.n == 14
	case four >= 3528 && four <= 3589: // JCB
		major = n.n == 16
	case two == 62, two == 81: // UnionPay, RuPay
		major = n.n == 16
	case four >= 2200 && four <= 2204: // Mir
		major = n.n == 16
	case two == 50, two >= 56 && two <= 69, two == 82: // Maestro, RuPay
	default:
		return no
	}
	switch {
	case major && grouped:
		return strong
	case major:
		return fair
	}
	return weak
}

// imei: 3GPP TS 23.003, with its check digit.
func imei(n number) strength {
	own := n.written(0x2661, "---") || n.written(0x2661, "   ")
	if !n.plain() && !own || same(n.digits()) {
		return no
	}
	return graded(luhn(n.digits()), own, fair, weak)
}

// usSSN: the areas, groups and serials that the Social Security Administration
// gives out; no checksum.
func usSSN(n number) strength {
	area, group, serial := value(n.d[:3]), value(n.d[3:5]), value(n.d[5:9])
	own := n.parted(0x324)
	if !n.plain() && !own || same(n.digits()) || value(n.digits()) == 123456789 && n.plain() {
		return no
	}
	ok := area != 0 && area != 666 && area < 900 && group != 0 && serial != 0
	return graded(ok, own && n.seps == "--", fair, weak)
}

// usITIN: IRS, 9xx with a group of its own ranges.
func usITIN(n number) strength {
	g, own := value(n.d[3:5]), n.parted(0x324)
	if n.d[0] != 9 || !n.plain() && !own {
		return no
	}
	ok := g >= 50 && g <= 65 || g >= 70 && g <= 88 || g >= 90 && g <= 92 || g >= 94
	return graded(ok, own && n.seps == "--", fair, weak)
}

func caSIN(n number) strength {
	if !n.plain() && !n.parted(0x333) || n.d[0] == 0 && n.plain() || n.d[0] == 8 || same(n.digits()) {
		return no
	}
	return graded(luhn(n.digits()), false, no, weak)
}

func auTFN(n number) strength {
	if !n.plain() && !n.parted(0x333) || same(n.digits()) {
		return no
	}
	if n.n == 8 {
		return graded(weighted(n.digits(), 10, 7, 8, 4, 6, 3, 5, 1)%11 == 0, false, no, weak)
	}
	return graded(weighted(n.digits(), 1, 4, 3, 7, 5, 8, 6, 9, 10)%11 == 0, false, no, weak)
}

// nlBSN: the elfproef with its last weight negative.
func nlBSN(n number) strength {
	if !n.plain() && !n.written(0x423, "..") && !n.parted(0x333) && !n.written(0x432, "..") || same(n.digits()) {
		return no
	}
	return graded(weighted(n.digits(), 9, 8, 7, 6, 5, 4, 3, 2, -1)%11 == 0, false, no, weak)
}

// usRouting: the ABA's checksum and Federal Reserve districts.
func usRouting(n number) strength {
	two := value(n.d[:2])
	if !n.plain() || !(two <= 12 || two >= 21 && two <= 32 || two >= 61 && two <= 72 || two == 80) || same(n.digits()) {
		return no
	}
	return graded(weighted(n.digits(), 3, 7, 1, 3, 7, 1, 3, 7, 1)%10 == 0, false, no, weak)
}

func ptNIF(n number) strength {
	if !n.plain() && !n.parted(0x333) {
		return no
	}
	switch n.d[0] {
	case 1, 2, 3, 5, 6, 8, 9:
	default:
		if two := value(n.d[:2]); two != 45 {
			return no
		}
	}
	check := 11 - weighted(n.digits(), 9, 8, 7, 6, 5, 4, 3, 2)%11
	if check >= 10 {
		check = 0
	}
	return graded(check == int(n.d[8]), false, no, weak)
}

func ilID(n number) strength {
	if !n.plain() && !n.written(0x81, "-") || same(n.digits()) {
		return no
	}
	return graded(luhn(n.digits()), false, no, weak)
}

// ukNHS: mod 11; 3-3-4 is how it is printed, and how telephone numbers are.
func ukNHS(n number) strength {
	if !n.plain() && !n.parted(0x334) || same(n.digits()) {
		return no
	}
	check := 11 - weighted(n.digits(), 10, 9, 8, 7, 6, 5, 4, 3, 2)%11
	return graded(check != 10 && check%11 == int(n.d[9]), false, no, weak)
}

// auMedicare: ten digits and perhaps the person's number on the card.
func auMedicare(n number) strength {
	own := n.parted(0x451) || n.written(0x4511, "  /") || n.written(0x451, " /") || n.written(0x4511, "  -")
	if !n.plain() && !own || n.d[0] < 2 || n.d[0] > 6 {
		return no
	}
	ok := weighted(n.digits(), 1, 3, 7, 9, 1, 3, 7, 9)%10 == int(n.d[8])
	return graded(ok, own, fair, weak)
}

// usNPI: Luhn over the prefix 80840.
func usNPI(n number) strength {
	if !n.plain() || n.d[0] != 1 && n.d[0] != 2 {
		return no
	}
	var d [15]byte
	copy(d[:], []byte{8, 0, 8, 4, 0})
	copy(d[5:], n.digits())
	return graded(luhn(d[:]), false, no, weak)
}
