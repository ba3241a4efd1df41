"""`shop-sandbox story`, which `make demo` plays: what a buyer lives through, told in plain words."""
