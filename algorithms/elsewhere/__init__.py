"""Policies that were made elsewhere, which `offmap score` tests as rows beside those that are meta-trained here."""
