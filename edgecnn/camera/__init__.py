"""How a field camera degrades a picture. `simulate.py` films a card, `cards.py` draws one."""
