import jakarta.persistence.*;
import java.io.Serializable;

@Entity
@Table(schema = "depot")
public class Shelf {
    public record Place(int hall, int place) implements Serializable {}

    @EmbeddedId
    public Place place;
    @ManyToOne(fetch = FetchType.LAZY)
    public Part part;
    public short amount;
}
