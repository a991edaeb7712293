"""A campaign: what is asked, what is planned, who measures it, and the order in which it is kept."""
