"""What a person corrects in a run, by hand: kept in `corrections.jsonl`, binding in every answer that is made after."""
